//! The command to type next, by what there is.

use super::bench::{Bench, Cluster};
use foundation::ctx::checkout::Checkout;
use foundation::ctx::cluster::ClusterState;
use foundation::typed;

pub(super) fn command(bench: &Bench, checkout: Option<&Checkout>) -> String {
    if let Some(command) = bench.clusters.iter().find_map(for_cluster) {
        return command;
    }
    let (Some(checkout), Some(state)) = (checkout, &bench.checkout) else {
        return typed!("--lab cluster");
    };
    if state.missing.is_empty() {
        return typed!("cluster");
    }
    if bench.missing_programs.contains(&"docker") {
        return typed!("doctor");
    }
    match bench.builder {
        Some(_) => checkout.build(&state.missing.join(" ")),
        None => typed!("setup"),
    }
}

fn for_cluster(cluster: &Cluster) -> Option<String> {
    let name = &cluster.name;
    Some(match cluster.state {
        ClusterState::Absent => return None,
        ClusterState::Running => typed!("cluster logs -f --name {}", name),
        ClusterState::Creating => typed!("cluster status --name {}", name),
        ClusterState::Partial => typed!("cluster destroy --name {}", name),
        ClusterState::Stopped | ClusterState::Stale => typed!("cluster start --name {}", name),
        ClusterState::Degraded | ClusterState::Foreign => {
            typed!("cluster explain --name {}", name)
        }
    })
}
