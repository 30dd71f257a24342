//! Workers: registered, reporting, gone.

use protocols::ids::{QueueId, WorkerId};

use crate::world::World;

crate::in_both_worlds!(a_worker_comes_and_goes, a_report_names_its_task);

async fn a_worker_comes_and_goes(world: World) {
    let (server, queue) = (world.server(), world.default_queue().await);
    let worker = WorkerId::from("host:gpu0,1");
    server.register_worker(&worker, std::slice::from_ref(&queue)).await.unwrap();
    server.register_worker(&worker, std::slice::from_ref(&queue)).await.unwrap();
    let unknown = QueueId::from("0123456789abcdef0123456789abcdef");
    assert!(server.register_worker(&worker, &[unknown]).await.unwrap_err().is_api(400, 701));
    server.unregister_worker(&worker, std::slice::from_ref(&queue)).await.unwrap();
    server.unregister_worker(&worker, &[queue]).await.unwrap();
}

async fn a_report_names_its_task(world: World) {
    let task = world.running_task("task").await;
    assert_eq!(world.server().task(&task).await.unwrap().unwrap().last_worker, "host:0");
}
