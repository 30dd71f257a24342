//! What is not understood, and what the error says.

use super::spec;

/// Each row: arguments, and words that the one error must have.
#[track_caller]
fn check(rows: &[(&str, &[&str])]) {
    for (arguments, words) in rows {
        let error = spec(arguments).expect_err(arguments);
        for word in *words {
            assert!(error.contains(word), "{arguments}: {word:?} is not in {error:?}");
        }
    }
}

#[test]
fn a_switch_that_does_not_exist_is_named() {
    check(&[
        ("--shmsize 8g", &["`--shmsize` (of the task) is no switch", "is `shm-size` meant?"]),
        ("--volumes /a:/b", &["`--volumes`", "`volume`"]),
        ("--GPUS all", &["`--GPUS`"]),
        ("--gpu all", &["`--gpu`", "`gpus`"]),
        ("--nonsense-at-all", &["`--nonsense-at-all`", "is no switch of a container"]),
        ("--nonsense-at-all=hunter2", &["`--nonsense-at-all`"]),
        ("-x", &["`-x`"]),
        ("-itx", &["`-x`"]),
        ("-shm-size 8g", &["`-shm-size`", "is `shm-size` meant?"]),
        ("-env A=1", &["`-env`", "is `env` meant?"]),
        ("-volume=/a:/b", &["`-volume`", "is `volume` meant?"]),
        ("-shmsize 8g", &["`-shmsize`", "is `shm-size` meant?"]),
        ("-network=host", &["`-network`", "is `network` meant?"]),
        ("---env A=1", &["`---env`"]),
        ("--=x", &["`--`"]),
    ]);
    assert!(!spec("--nonsense-at-all=hunter2").unwrap_err().contains("hunter2"));
}

#[test]
fn a_namespace_that_no_engine_has_is_named() {
    check(&[
        ("--pid nosuch", &["`--pid nosuch`", "container:NAME"]),
        ("--pid container:", &["`--pid container:`"]),
        ("--ipc nosuch", &["`--ipc nosuch`", "shareable"]),
        ("--uts nosuch", &["`--uts nosuch`"]),
        ("--userns nosuch", &["`--userns nosuch`", "keep-id"]),
        ("--userns ''", &["`--userns `"]),
    ]);
}

#[test]
fn what_is_no_switch_is_named() {
    check(&[
        ("ubuntu:22.04", &["`ubuntu:22.04`", "the image has a field of its own"]),
        ("-e A=b c", &["`c`", "needs quotes"]),
        ("--ipc=host -- bash", &["`--`"]),
        ("-", &["`-`"]),
        ("''", &["``"]),
        ("--privileged true", &["`true`"]),
    ]);
}

#[test]
fn text_that_is_not_finished() {
    check(&[
        ("-e 'A=1", &["cannot be read", "the quote ' is not closed"]),
        (r#"-e "A=1"#, &["the quote \" is not closed"]),
        (r"-e A=\", &["backslash"]),
        ("-e", &["`-e`", "needs a value"]),
        ("--shm-size", &["`--shm-size`", "needs a value"]),
        ("-ite", &["`-e`", "needs a value"]),
    ]);
}

#[test]
fn what_cannot_work_here_says_why() {
    check(&[
        ("--detach-keys ctrl-p", &["`--detach-keys`", "a task has no terminal"]),
        ("--cidfile /tmp/x", &["known by its labels"]),
        ("--help", &["manual"]),
        ("--use-api-socket", &["credentials"]),
        ("--cpu-count 2", &["only Windows"]),
        ("--cpu-percent 2", &["only Windows"]),
        ("--io-maxiops 2", &["only Windows"]),
        ("--io-maxbandwidth 2", &["only Windows"]),
        ("--restart always", &["must not start a task again"]),
        ("--restart on-failure:3", &["must not start a task again"]),
        ("--isolation hyperv", &["only Windows"]),
    ]);
}

#[test]
fn values_that_are_none() {
    check(&[
        ("--shm-size 8x", &["`--shm-size 8x`", "a size like 512m or 8g"]),
        ("--shm-size ''", &["a size"]),
        ("--shm-size -1", &["a size"]),
        ("--shm-size 1e3", &["a size"]),
        ("--shm-size 99999999p", &["a size"]),
        ("--shm-size .", &["a size"]),
        ("--shm-size ib", &["a size"]),
        ("--shm-size 1ib", &["a size"]),
        ("--memory lots", &["`--memory lots`"]),
        ("--memory-swap -2", &["or -1"]),
        ("--memory-swappiness 101", &["0 to 100"]),
        ("--cpus two", &["1.5"]),
        ("--cpus -1", &["number of processors"]),
        ("--cpus .", &["number of processors"]),
        ("--cpus 1.0000000001", &["number of processors"]),
        ("--cpus 99999999999999", &["number of processors"]),
        ("--cpuset-cpus 3-1", &["0-3,8"]),
        ("--cpuset-cpus a", &["0-3,8"]),
        ("--cpu-shares -1", &["0 or more"]),
        ("--pids-limit many", &["-1 for no limit"]),
        ("--ulimit nofile", &["nofile=1024:2048"]),
        ("--ulimit files=1", &["`files`", "nofile"]),
        ("--ulimit nofile=2:1", &["must not be above"]),
        ("--ulimit nofile=-1:1", &["must not be above"]),
        ("--ulimit nofile=a", &["-1 for no limit"]),
        ("--blkio-weight 5", &["10 to 1000"]),
        ("--blkio-weight-device sda:100", &["/dev/sda:500"]),
        ("--device-read-bps /dev/sda", &["/dev/sda:1mb"]),
        ("--device-read-iops /dev/sda:1mb", &["/dev/sda:1000"]),
        ("--oom-score-adj 2000", &["-1000 to 1000"]),
        ("--privileged=maybe", &["`--privileged maybe`", "true or false"]),
        ("--privileged=", &["true or false"]),
        ("--health-interval 5", &["a duration like 30s"]),
        ("--health-interval 10us", &["at least 1ms"]),
        ("--health-interval 1y", &["a duration"]),
        ("--health-retries few", &["0 or more"]),
        ("--stop-timeout 1m", &["a number of seconds"]),
        ("--stop-signal 'SIG INT'", &["a signal like SIGINT"]),
        ("--pull sometimes", &["always, missing or never"]),
        ("--cgroupns mine", &["host or private"]),
        ("--workdir relative", &["an absolute path"]),
        ("--env-file x.env", &["an absolute path"]),
        ("--name x", &["two or more letters"]),
        ("--name 'a b'", &["two or more letters"]),
        ("--hostname a/b", &["the name of a host"]),
        ("--user ''", &["a word without spaces"]),
        ("--cap-add SYS-PTRACE", &["SYS_PTRACE"]),
        ("--label =x", &["NAME=VALUE"]),
        ("--sysctl a", &["NAME=VALUE"]),
        ("--device-cgroup-rule 'x 1:3 r'", &["c 1:3 mr"]),
        ("--tmpfs run", &["an absolute path"]),
    ]);
}

#[test]
fn places_that_cannot_be_mounted() {
    check(&[
        ("-v a:b", &["`-v a:b`", "`b`", "absolute path in the container"]),
        ("-v ~/data:/data", &["`~/data`", "mean nothing to an agent"]),
        ("-v ./data:/data", &["`./data`", "an absolute path of the host"]),
        ("-v /a:/b:rx", &["`rx`", "ro, rw"]),
        ("-v /a:/b:ro,rw", &["exclude each other"]),
        ("-v /a:/b:ro:rw", &["/host/path:/path"]),
        ("-v /a:/", &["over the whole container"]),
        ("-v ''", &["absolute path in the container"]),
        ("'-v /a:/b'", &["write switch and value as two words"]),
        ("-v /a:/d -v /b:/d", &["two things are mounted at /d", "/a:/d", "/b:/d"]),
        ("-v /a:/d --mount type=bind,src=/b,dst=/d/", &["two things are mounted at /d"]),
        ("-v /a:/d --tmpfs /d", &["two things are mounted at /d", "tmpfs"]),
        ("--mount type=bind,dst=/b", &["the field `source=` is missing"]),
        ("--mount type=bind,src=a,dst=/b", &["`a`", "an absolute path of the host"]),
        ("--mount type=bind,src=/a", &["the field `target=` is missing"]),
        ("--mount type=bind,src=/a,dst=b", &["`b`", "an absolute path in the container"]),
        ("--mount type=cloud,dst=/b", &["`cloud`", "bind, volume, tmpfs or image"]),
        ("--mount type=tmpfs,src=/a,dst=/b", &["a tmpfs has no `source=`"]),
        ("--mount dst=/b,sorce=/a", &["no field `sorce`", "is `source` meant?"]),
        ("--mount dst=/b,tmpfs-size=1m", &["`tmpfs-size`", "left out for this `type=`"]),
        ("--mount type=tmpfs,dst=/b,tmpfs-mode=9", &["a mode in octal"]),
        ("--mount type=bind,src=/a,dst=/b,bind-propagation=up", &["rslave"]),
        (
            "--mount type=bind,src=/a,dst=/b,bind-recursive=readonly",
            &["needs `readonly` and `bind-propagation=rprivate`"],
        ),
        ("--mount 'dst=/b,\"volume-opt=o=1'", &["quotes are closed"]),
        ("--mount ''", &["no field ``"]),
    ]);
}

#[test]
fn ports_and_networks_that_are_none() {
    check(&[
        ("-p http", &["ports like 8080"]),
        ("-p 70000", &["ports like 8080"]),
        ("-p 0", &["ports like 8080"]),
        ("-p 80:", &["ports like 8080"]),
        ("-p 90-80", &["ports like 8080"]),
        ("-p +80", &["ports like 8080"]),
        ("-p 80/icmp", &["ports like 8080"]),
        ("-p 1-3:1-2", &["as many ports"]),
        ("-p nowhere:80:80", &["`nowhere`", "an address of this machine"]),
        ("-p 127.0.0.1:x:80", &["ports like 8080"]),
        ("-p [::1]80", &["ports like 8080"]),
        ("-p [::1:80:80", &["ports like 8080"]),
        ("--expose 0", &["53/udp"]),
        ("--network host --network mine", &["`--network host`", "`--network mine`", "exclude each other"]),
        ("--network host --network-alias a", &["`--network-alias`", "`--network host`"]),
        ("--ip 10.0.0.5", &["`--ip`", "default network"]),
        ("--network name=host,alias=a", &["only a network of your own"]),
        ("--network alias=a", &["the field `name=` is missing"]),
        ("--network name=a,alis=b", &["no field `alis`", "`alias`"]),
        ("--network name=a,gw-priority=x", &["`x`", "a number"]),
        ("--network ''", &["the name of a network"]),
        ("--ip fd00::5 --network a", &["an IPv4 address"]),
        ("--dns resolver", &["an address like"]),
        ("--add-host db", &["db:10.0.0.5"]),
        ("--add-host db:somewhere", &["db:10.0.0.5"]),
        ("--mac-address 02:42", &["a MAC address"]),
        ("--link :x", &["db:database"]),
    ]);
}

#[test]
fn cards_and_devices_that_are_none() {
    check(&[
        ("--gpus some", &["all, a number, or fields"]),
        ("--gpus ''", &["all, a number, or fields"]),
        ("--gpus device=0,1", &["says twice which cards", r#"'"device=0,1"'"#]),
        ("--gpus 2,device=0", &["says twice"]),
        ("--gpus device=", &["`device=` is missing"]),
        ("--gpus devices=0", &["no field `devices`", "is `device` meant?"]),
        ("--device fuse", &["/dev/fuse"]),
        ("--device /dev/a:/dev/b:/dev/c", &["/dev/fuse"]),
        ("--device /dev/a:/dev/b:rr", &["/dev/fuse"]),
    ]);
}

#[test]
fn switches_that_exclude_each_other() {
    check(&[
        ("--cpus 1 --cpu-quota 1000", &["`--cpus` and `--cpu-quota`"]),
        ("--cpus 1 --cpu-period 1000", &["`--cpus` and `--cpu-period`"]),
        ("--no-healthcheck --health-cmd x", &["`--no-healthcheck`"]),
        ("--uts host --hostname x", &["`--uts host` and `--hostname`"]),
    ]);
}

#[test]
fn a_value_that_may_be_secret_is_not_shown() {
    for arguments in ["-e =hunter2", "--log-opt hunter2", "-e 'a b=hunter2'"] {
        let error = spec(arguments).expect_err(arguments);
        assert!(!error.contains("hunter2"), "{error}");
    }
}
