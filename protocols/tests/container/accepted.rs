//! What is understood.

use serde_json::Value;

use super::{said, spec};

/// Each row: arguments, and what they say, as JSON5-like fields without the outer braces.
#[track_caller]
fn check(rows: &[(&str, &str)]) {
    for (arguments, expected) in rows {
        let expected: Value = serde_json::from_str(&format!("{{{expected}}}")).unwrap_or_else(|error| {
            panic!("the row of {arguments:?} is wrong: {error}");
        });
        match spec(arguments) {
            Ok((spec, _)) => assert_eq!(said(&spec), expected, "{arguments}"),
            Err(error) => panic!("{arguments}: {error}"),
        }
    }
}

#[test]
fn a_switch_is_written_in_every_form() {
    check(&[
        ("", ""),
        ("   \n\t", ""),
        ("-e A=1", r#""environment": [["A", "1"]]"#),
        ("-eA=1", r#""environment": [["A", "1"]]"#),
        ("-e=A=1", r#""environment": [["A", "1"]]"#),
        ("--env A=1", r#""environment": [["A", "1"]]"#),
        ("--env=A=1", r#""environment": [["A", "1"]]"#),
        ("-v/a:/b", r#""volumes": [{"source": "/a", "target": "/b", "options": []}]"#),
        ("-it", ""),
        ("-itv/a:/b", r#""volumes": [{"source": "/a", "target": "/b", "options": []}]"#),
        ("-itP", r#""publish_all": true"#),
        ("-Pe A=1", r#""publish_all": true, "environment": [["A", "1"]]"#),
        ("-it --rm -d", ""),
        ("-hbox", r#""hostname": "box""#),
        ("-h box", r#""hostname": "box""#),
        ("-m8g", r#""memory": 8589934592"#),
        ("-m 8g -c 512", r#""memory": 8589934592, "cpu_shares": 512"#),
        ("-u1000", r#""user": "1000""#),
        ("-w/work", r#""working_dir": "/work""#),
        // A value may look like a switch.
        ("-e --x=1", r#""environment": [["--x", "1"]]"#),
        (
            "--health-cmd --version",
            r#""health": {"disabled": false, "command": "--version", "interval": null, "timeout": null, "start_period": null, "start_interval": null, "retries": null}"#,
        ),
    ]);
}

#[test]
fn yes_and_no() {
    check(&[
        ("--privileged", r#""privileged": true"#),
        ("--privileged=true", r#""privileged": true"#),
        ("--privileged=1 --privileged=F", r#""privileged": false"#),
        ("--privileged=false", r#""privileged": false"#),
        ("--privileged=T", r#""privileged": true"#),
        ("--read-only", r#""read_only": true"#),
        ("--publish-all=TRUE", r#""publish_all": true"#),
        ("-P=false", r#""publish_all": false"#),
        ("--oom-kill-disable", r#""without_oom_kill": true"#),
        ("--init", ""),
        ("--tty=false --interactive=0", ""),
        ("--help=false --use-api-socket=false", ""),
    ]);
}

#[test]
fn quotes_are_those_of_a_shell() {
    check(&[
        (r#"-e 'A=b c'"#, r#""environment": [["A", "b c"]]"#),
        (r#"-e "A=b \"c\"""#, r#""environment": [["A", "b \"c\""]]"#),
        (r"-e A=b\ c", r#""environment": [["A", "b c"]]"#),
        (r#"-e A='{"k": [1, 2]}'"#, r#""environment": [["A", "{\"k\": [1, 2]}"]]"#),
        (r#"-e A=#1"#, r##""environment": [["A", "#1"]]"##),
        ("-e A=$HOME;ls", r#""environment": [["A", "$HOME;ls"]]"#),
        ("-e A=\u{e4}\u{1f600}", "\"environment\": [[\"A\", \"\u{e4}\u{1f600}\"]]"),
    ]);
}

#[test]
fn variables_and_labels() {
    check(&[
        ("-e A", r#""environment": [["A", null]]"#),
        ("-e A=", r#""environment": [["A", ""]]"#),
        ("-e A=b=c", r#""environment": [["A", "b=c"]]"#),
        ("-e A=1 -e B=2 -e A=3", r#""environment": [["B", "2"], ["A", "3"]]"#),
        ("-e A=1 -e A", r#""environment": [["A", null]]"#),
        ("--env-file /etc/x.env --env-file /y", r#""environment_files": ["/etc/x.env", "/y"]"#),
        ("-l a=1 --label b", r#""labels": [["a", "1"], ["b", ""]]"#),
        ("--label a=1 --label a=2", r#""labels": [["a", "2"]]"#),
        ("--label-file /l", r#""label_files": ["/l"]"#),
        ("--annotation a=b", r#""annotations": [["a", "b"]]"#),
        ("--sysctl net.core.somaxconn=1024", r#""sysctls": [["net.core.somaxconn", "1024"]]"#),
        ("--storage-opt size=120G", r#""storage_options": [["size", "120G"]]"#),
        (
            "--log-driver json-file --log-opt max-size=10m",
            r#""log_driver": "json-file", "log_options": [["max-size", "10m"]]"#,
        ),
    ]);
}

#[test]
fn volumes() {
    check(&[
        ("-v /a:/b", r#""volumes": [{"source": "/a", "target": "/b", "options": []}]"#),
        ("-v /a:/b:ro", r#""volumes": [{"source": "/a", "target": "/b", "options": ["ro"]}]"#),
        (
            "-v /a:/b:ro,z,rshared",
            r#""volumes": [{"source": "/a", "target": "/b", "options": ["ro", "z", "rshared"]}]"#,
        ),
        ("--volume data:/b", r#""volumes": [{"source": "data", "target": "/b", "options": []}]"#),
        ("--volume=data:/b:nocopy", r#""volumes": [{"source": "data", "target": "/b", "options": ["nocopy"]}]"#),
        ("-v /b", r#""volumes": [{"source": null, "target": "/b", "options": []}]"#),
        ("-v '/a b:/c d'", r#""volumes": [{"source": "/a b", "target": "/c d", "options": []}]"#),
        ("-v /a:/b -v /a:/b", r#""volumes": [{"source": "/a", "target": "/b", "options": []}]"#),
        ("--volumes-from other:ro", r#""volumes_from": ["other:ro"]"#),
        ("--volume-driver local", r#""volume_driver": "local""#),
        ("--tmpfs /run", r#""tmpfs": [["/run", ""]]"#),
        ("--tmpfs /run:size=64m,mode=1777", r#""tmpfs": [["/run", "size=64m,mode=1777"]]"#),
        ("--tmpfs /run --tmpfs /run:size=1m", r#""tmpfs": [["/run", "size=1m"]]"#),
    ]);
}

#[test]
fn ports() {
    let port = |host_ip: &str, host: &str, container: &str, protocol: &str| {
        let range = |text: &str| match text.split_once('-') {
            Some((first, last)) => format!(r#"{{"first": {first}, "last": {last}}}"#),
            None if text.is_empty() => "null".to_owned(),
            None => format!(r#"{{"first": {text}, "last": {text}}}"#),
        };
        let ip = if host_ip.is_empty() { "null".to_owned() } else { format!("{host_ip:?}") };
        let (host, container) = (range(host), range(container));
        format!(r#""ports": [{{"host_ip": {ip}, "host": {host}, "container": {container}, "protocol": "{protocol}"}}]"#)
    };
    for (arguments, expected) in [
        ("-p 80", port("", "", "80", "tcp")),
        ("-p 8080:80", port("", "8080", "80", "tcp")),
        ("-p8080:80", port("", "8080", "80", "tcp")),
        ("--publish 8080:80/udp", port("", "8080", "80", "udp")),
        ("--publish=5:6", port("", "5", "6", "tcp")),
        ("-p 53:53/UDP", port("", "53", "53", "udp")),
        ("-p 9:9/sctp", port("", "9", "9", "sctp")),
        ("-p 127.0.0.1:8080:80", port("127.0.0.1", "8080", "80", "tcp")),
        ("-p 127.0.0.1::80", port("127.0.0.1", "", "80", "tcp")),
        ("-p [::1]:8080:80", port("::1", "8080", "80", "tcp")),
        ("-p [::1]::80", port("::1", "", "80", "tcp")),
        ("-p 9000-9002:9000-9002", port("", "9000-9002", "9000-9002", "tcp")),
        ("-p 9000-9002:80", port("", "9000-9002", "80", "tcp")),
        ("-p 80-82", port("", "", "80-82", "tcp")),
        ("-p 0:80", port("", "", "80", "tcp")),
        ("-p :80", port("", "", "80", "tcp")),
        ("-p 0.0.0.0:1-3:4-6/udp", port("0.0.0.0", "1-3", "4-6", "udp")),
        ("-p 65535:65535", port("", "65535", "65535", "tcp")),
    ] {
        check(&[(arguments, &expected)]);
    }
    check(&[
        ("--expose 80", r#""exposed": [{"ports": {"first": 80, "last": 80}, "protocol": "tcp"}]"#),
        ("--expose 80-90/udp", r#""exposed": [{"ports": {"first": 80, "last": 90}, "protocol": "udp"}]"#),
        ("-P", r#""publish_all": true"#),
    ]);
}

#[test]
fn networks() {
    let named = |name: &str| {
        format!(
            r#"{{"name": "{name}", "aliases": [], "ip": null, "ip6": null, "mac_address": null, "link_local_ips": [], "driver_options": [], "gateway_priority": null}}"#
        )
    };
    for (arguments, expected) in [
        ("--network host", named("host")),
        ("--net=host", named("host")),
        ("--network=none", named("none")),
        ("--network container:other", named("container:other")),
        ("--network host --net host", named("host")),
        ("--network slirp4netns:port_handler=slirp4netns", named("slirp4netns:port_handler=slirp4netns")),
        ("--network name=mine", named("mine")),
        ("--network a --network b", format!("{}, {}", named("a"), named("b"))),
    ] {
        check(&[(arguments, &format!(r#""networks": [{expected}]"#))]);
    }
    let (mine, full) = (
        named("mine"),
        r#"{"name": "mine", "aliases": ["a", "b"], "ip": "10.0.0.5", "ip6": "fd00::5", "mac_address": "02:42:ac:11:00:02", "link_local_ips": ["169.254.1.1"], "driver_options": [["k", "v"]], "gateway_priority": 5}"#,
    );
    check(&[
        (
            "--network name=mine,alias=a,alias=b,ip=10.0.0.5,ip6=fd00::5,mac-address=02:42:ac:11:00:02,link-local-ip=169.254.1.1,driver-opt=k=v,gw-priority=5",
            &format!(r#""networks": [{full}]"#),
        ),
        (
            "--network mine --network-alias a --net-alias b --ip 10.0.0.5 --ip6 fd00::5 --link-local-ip 169.254.1.1 --mac-address 02:42:ac:11:00:02",
            &format!(
                r#""networks": [{mine}], "network_aliases": ["a", "b"], "ip": "10.0.0.5", "ip6": "fd00::5", "link_local_ips": ["169.254.1.1"], "mac_address": "02:42:ac:11:00:02""#
            ),
        ),
        ("--dns 8.8.8.8 --dns=::1", r#""dns": ["8.8.8.8", "::1"]"#),
        ("--dns-option ndots:2 --dns-opt rotate", r#""dns_options": ["ndots:2", "rotate"]"#),
        ("--dns-search example.org", r#""dns_search": ["example.org"]"#),
        ("--add-host db:10.0.0.5", r#""extra_hosts": [["db", "10.0.0.5"]]"#),
        ("--add-host=db=10.0.0.5", r#""extra_hosts": [["db", "10.0.0.5"]]"#),
        ("--add-host h:host-gateway", r#""extra_hosts": [["h", "host-gateway"]]"#),
        ("--add-host db:fd00::5", r#""extra_hosts": [["db", "fd00::5"]]"#),
        ("--add-host db=[fd00::5]", r#""extra_hosts": [["db", "fd00::5"]]"#),
        ("--link db --link db:database", r#""links": ["db", "db:database"]"#),
        ("--mac-address 02:42:ac:11:00:02", r#""mac_address": "02:42:ac:11:00:02""#),
        ("--hostname a.b --domainname c.d", r#""hostname": "a.b", "domainname": "c.d""#),
    ]);
}

#[test]
fn sizes_and_limits() {
    check(&[
        ("--shm-size 8g", r#""shm_size": 8589934592"#),
        ("--shm-size=1024m", r#""shm_size": 1073741824"#),
        ("--shm-size 1GB", r#""shm_size": 1073741824"#),
        ("--shm-size 1gib", r#""shm_size": 1073741824"#),
        ("--shm-size 1.5g", r#""shm_size": 1610612736"#),
        ("--shm-size '2 GB'", r#""shm_size": 2147483648"#),
        ("--shm-size 67108864", r#""shm_size": 67108864"#),
        ("--shm-size 64b", r#""shm_size": 64"#),
        ("--memory 512M", r#""memory": 536870912"#),
        ("--memory 1T --memory-swap -1", r#""memory": 1099511627776, "memory_swap": -1"#),
        ("--memory-swap 2k --memory-reservation 1k", r#""memory_swap": 2048, "memory_reservation": 1024"#),
        ("--memory-swappiness 0", r#""memory_swappiness": 0"#),
        ("--memory 1g --memory 2g", r#""memory": 2147483648"#),
        ("--cpus 1.5", r#""nano_cpus": 1500000000"#),
        ("--cpus=.25", r#""nano_cpus": 250000000"#),
        ("--cpus 4", r#""nano_cpus": 4000000000"#),
        ("--cpuset-cpus 0-3,8 --cpuset-mems 0", r#""cpuset_cpus": "0-3,8", "cpuset_mems": "0""#),
        ("--cpu-period 100000 --cpu-quota 50000", r#""cpu_period": 100000, "cpu_quota": 50000"#),
        ("--cpu-rt-period 1000 --cpu-rt-runtime 950", r#""cpu_realtime_period": 1000, "cpu_realtime_runtime": 950"#),
        ("--pids-limit -1", r#""pids": -1"#),
        ("--pids-limit 100", r#""pids": 100"#),
        ("--ulimit nofile=1024:2048", r#""ulimits": [{"name": "nofile", "soft": 1024, "hard": 2048}]"#),
        ("--ulimit nofile=1024", r#""ulimits": [{"name": "nofile", "soft": 1024, "hard": 1024}]"#),
        (
            "--ulimit memlock=-1 --ulimit stack=67108864",
            r#""ulimits": [{"name": "memlock", "soft": -1, "hard": -1}, {"name": "stack", "soft": 67108864, "hard": 67108864}]"#,
        ),
        ("--ulimit core=0:-1", r#""ulimits": [{"name": "core", "soft": 0, "hard": -1}]"#),
        ("--ulimit core=0 --ulimit core=1", r#""ulimits": [{"name": "core", "soft": 1, "hard": 1}]"#),
        ("--blkio-weight 500", r#""block_weight": 500"#),
        ("--blkio-weight-device /dev/sda:100", r#""block_weights": [{"path": "/dev/sda", "amount": 100}]"#),
        ("--device-read-bps /dev/sda:1mb", r#""read_bytes": [{"path": "/dev/sda", "amount": 1048576}]"#),
        ("--device-write-bps /dev/sda:1k", r#""write_bytes": [{"path": "/dev/sda", "amount": 1024}]"#),
        ("--device-read-iops /dev/sda:10", r#""read_operations": [{"path": "/dev/sda", "amount": 10}]"#),
        ("--device-write-iops /dev/sda:20", r#""write_operations": [{"path": "/dev/sda", "amount": 20}]"#),
        ("--oom-score-adj -500", r#""oom_score": -500"#),
        ("--cgroup-parent ml.slice", r#""cgroup_parent": "ml.slice""#),
        ("--stop-timeout 30 --stop-signal SIGINT", r#""stop_timeout": 30, "stop_signal": "SIGINT""#),
    ]);
}

#[test]
fn isolation_and_devices() {
    check(&[
        ("--ipc=host", r#""ipc": "host""#),
        ("--ipc container:other --pid host --uts host", r#""ipc": "container:other", "pid": "host", "uts": "host""#),
        ("--userns keep-id --cgroupns private", r#""userns": "keep-id", "cgroupns": "private""#),
        (
            "--cap-add sys_ptrace --cap-add=IPC_LOCK --cap-drop ALL",
            r#""added_capabilities": ["SYS_PTRACE", "IPC_LOCK"], "dropped_capabilities": ["ALL"]"#,
        ),
        (
            "--security-opt seccomp=unconfined --security-opt=no-new-privileges",
            r#""security_options": ["seccomp=unconfined", "no-new-privileges"]"#,
        ),
        ("--user 1000:1000 --group-add video --group-add 44", r#""user": "1000:1000", "groups": ["video", "44"]"#),
        ("--device /dev/fuse", r#""devices": [{"host": "/dev/fuse", "container": "/dev/fuse", "permissions": "rwm"}]"#),
        (
            "--device /dev/sda:/dev/xvda",
            r#""devices": [{"host": "/dev/sda", "container": "/dev/xvda", "permissions": "rwm"}]"#,
        ),
        ("--device /dev/sda:r", r#""devices": [{"host": "/dev/sda", "container": "/dev/sda", "permissions": "r"}]"#),
        (
            "--device=/dev/sda:/dev/xvda:rw",
            r#""devices": [{"host": "/dev/sda", "container": "/dev/xvda", "permissions": "rw"}]"#,
        ),
        ("--device nvidia.com/gpu=all", r#""cdi_devices": ["nvidia.com/gpu=all"]"#),
        ("--device-cgroup-rule 'c 195:* rmw'", r#""device_rules": ["c 195:* rmw"]"#),
        ("--runtime nvidia --platform linux/arm64", r#""runtime": "nvidia", "platform": "linux/arm64""#),
        ("--pull always", r#""pull": "always""#),
        ("--pull=missing --pull never", r#""pull": "never""#),
        ("--entrypoint /bin/sh", r#""entrypoint": "/bin/sh""#),
        ("--entrypoint ''", r#""entrypoint": """#),
        ("--entrypoint=", r#""entrypoint": """#),
        ("--name my-task", r#""name": "my-task""#),
        ("--restart no --isolation default", ""),
        (
            "--no-healthcheck",
            r#""health": {"disabled": true, "command": null, "interval": null, "timeout": null, "start_period": null, "start_interval": null, "retries": null}"#,
        ),
        (
            "--health-cmd 'curl -f http://localhost/' --health-interval 1m30s --health-timeout 500ms --health-start-period 2h --health-start-interval 1.5s --health-retries 3",
            r#""health": {"disabled": false, "command": "curl -f http://localhost/", "interval": 90000000000, "timeout": 500000000, "start_period": 7200000000000, "start_interval": 1500000000, "retries": 3}"#,
        ),
    ]);
}

#[test]
fn cards() {
    let gpus = |count: &str, rest: &str| {
        let default = r#""driver": null, "capabilities": [], "options": []"#;
        let rest = if rest.is_empty() { default } else { rest };
        format!(r#""gpus": {{"count": {count}, {rest}}}"#)
    };
    let utility = r#""driver": null, "capabilities": ["compute", "utility"], "options": []"#;
    for (arguments, expected) in [
        ("--gpus all", gpus(r#""all""#, "")),
        ("--gpus=all", gpus(r#""all""#, "")),
        ("--gpus -1", gpus(r#""all""#, "")),
        ("--gpus 2", gpus(r#"{"count": 2}"#, "")),
        ("--gpus count=2", gpus(r#"{"count": 2}"#, "")),
        ("--gpus device=0", gpus(r#"{"devices": ["0"]}"#, "")),
        ("--gpus device=GPU-5e83", gpus(r#"{"devices": ["GPU-5e83"]}"#, "")),
        (r#"--gpus '"device=0,1"'"#, gpus(r#"{"devices": ["0", "1"]}"#, "")),
        (r#"--gpus "\"device=0,1\"""#, gpus(r#"{"devices": ["0", "1"]}"#, "")),
        (r#"--gpus 'device="0:0,1:0"'"#, gpus(r#"{"devices": ["0:0", "1:0"]}"#, "")),
        (r#"--gpus 'all,"capabilities=compute,utility"'"#, gpus(r#""all""#, utility)),
        (r#"--gpus '"capabilities=compute,utility"'"#, gpus(r#""all""#, utility)),
        (r#"--gpus '"device=1,2","capabilities=compute,utility"'"#, gpus(r#"{"devices": ["1", "2"]}"#, utility)),
        (
            "--gpus 1,driver=nvidia,options=a=b",
            gpus(r#"{"count": 1}"#, r#""driver": "nvidia", "capabilities": [], "options": [["a", "b"]]"#),
        ),
        ("--gpus 1 --gpus all", gpus(r#""all""#, "")),
    ] {
        check(&[(arguments, &expected)]);
    }
}

#[test]
fn mounts() {
    let fields = |said: &str| {
        let mut mount: serde_json::Map<String, Value> = serde_json::from_str(
            r#"{"kind": "volume", "source": null, "target": "/b", "read_only": false, "consistency": null,
                "propagation": null, "recursion": null, "creates_source": false, "driver": null,
                "driver_options": [], "labels": [], "no_copy": false, "subpath": null, "tmpfs_size": null,
                "tmpfs_mode": null}"#,
        )
        .unwrap();
        let said: serde_json::Map<String, Value> = serde_json::from_str(&format!("{{{said}}}")).unwrap();
        mount.extend(said);
        format!(r#""mounts": [{}]"#, Value::Object(mount))
    };
    let bind = r#""kind": "bind", "source": "/a""#;
    for (arguments, expected) in [
        ("--mount type=bind,source=/a,target=/b", bind.to_owned()),
        ("--mount type=bind,src=/a,dst=/b", bind.to_owned()),
        ("--mount TYPE=bind,Src=/a,destination=/b", bind.to_owned()),
        ("--mount type=bind,src=/a,dst=/b,readonly", format!(r#"{bind}, "read_only": true"#)),
        ("--mount type=bind,src=/a,dst=/b,ro=true", format!(r#"{bind}, "read_only": true"#)),
        ("--mount type=bind,src=/a,dst=/b,readonly=false", bind.to_owned()),
        ("--mount type=bind,src=/a,dst=/b,bind-propagation=rslave", format!(r#"{bind}, "propagation": "rslave""#)),
        ("--mount type=bind,src=/a,dst=/b,bind-recursive=disabled", format!(r#"{bind}, "recursion": "disabled""#)),
        ("--mount type=bind,src=/a,dst=/b,bind-recursive=enabled", bind.to_owned()),
        ("--mount type=bind,src=/a,dst=/b,bind-nonrecursive", format!(r#"{bind}, "recursion": "disabled""#)),
        (
            "--mount type=bind,src=/a,dst=/b,ro,bind-recursive=readonly,bind-propagation=rprivate",
            format!(r#"{bind}, "read_only": true, "recursion": "readonly", "propagation": "rprivate""#),
        ),
        ("--mount dst=/b", String::new()),
        ("--mount type=volume,src=data,dst=/b,volume-nocopy", r#""source": "data", "no_copy": true"#.to_owned()),
        (
            "--mount 'src=data,dst=/b,volume-driver=local,\"volume-opt=o=addr=1,rw\",volume-label=a=b,volume-subpath=x'",
            r#""source": "data", "driver": "local", "driver_options": [["o", "addr=1,rw"]], "labels": [["a", "b"]], "subpath": "x""#
                .to_owned(),
        ),
        ("--mount type=tmpfs,dst=/b", r#""kind": "tmpfs""#.to_owned()),
        (
            "--mount type=tmpfs,dst=/b,tmpfs-size=64m,tmpfs-mode=1777",
            r#""kind": "tmpfs", "tmpfs_size": 67108864, "tmpfs_mode": 1023"#.to_owned(),
        ),
        (
            "--mount type=image,src=busybox,dst=/b,image-subpath=etc",
            r#""kind": "image", "source": "busybox", "subpath": "etc""#.to_owned(),
        ),
    ] {
        check(&[(arguments, &fields(&expected))]);
    }
}

#[test]
fn what_has_no_effect_is_said() {
    for (arguments, switches) in [
        ("-it --rm", vec!["-i", "-t", "--rm"]),
        ("--detach --init -q", vec!["--detach", "--init", "-q"]),
        ("--tty --tty", vec!["--tty"]),
        ("--tty=false", vec![]),
        ("-a stdout --kernel-memory 1g --sig-proxy", vec!["-a", "--kernel-memory", "--sig-proxy"]),
        ("--disable-content-trust -e A=1", vec!["--disable-content-trust"]),
    ] {
        let (_, notes) = spec(arguments).unwrap();
        assert_eq!(notes.iter().map(|note| note.switch.as_str()).collect::<Vec<_>>(), switches, "{arguments}");
        assert!(notes.iter().all(|note| note.to_string().contains("has no effect: ")), "{notes:?}");
    }
}
