// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package controllers

import (
	"context"
	"net/netip"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"
	"github.com/siderolabs/talos/pkg/machinery/resources/cluster"
	"github.com/siderolabs/talos/pkg/machinery/resources/etcd"
	"github.com/siderolabs/talos/pkg/machinery/resources/k8s"
	"go.uber.org/zap"

	"lab.invalid/guest/internal/kube"
	"lab.invalid/guest/internal/node"
)

// members publishes the nodes that this node has heard of, itself included.
func members(n *node.Node) *reconciler {
	return &reconciler{
		name: "cluster.MemberController", outputs: exclusive(cluster.MemberType, cluster.IdentityType), wake: n.Peers.Changed,
		sweeps: kind(cluster.NamespaceName, cluster.MemberType),
		do: func(ctx context.Context, r controller.Runtime, _ *zap.Logger) error {
			if err := safe.WriterModify(ctx, r, cluster.NewIdentity(cluster.NamespaceName, cluster.LocalIdentity), func(i *cluster.Identity) error {
				i.TypedSpec().NodeID = n.NodeID

				return nil
			}); err != nil {
				return err
			}

			for _, m := range n.Peers.Members() {
				if err := safe.WriterModify(ctx, r, cluster.NewMember(cluster.NamespaceName, m.Hostname), func(res *cluster.Member) error {
					*res.TypedSpec() = cluster.MemberSpec{
						NodeID: m.NodeID, Hostname: m.Hostname, Addresses: []netip.Addr{m.Address}, OperatingSystem: m.OS, MachineType: machine.TypeWorker,
					}

					if m.ControlPlane {
						res.TypedSpec().MachineType = machine.TypeControlPlane
						res.TypedSpec().ControlPlane = &cluster.ControlPlane{APIServerPort: kube.Port}
					}

					return nil
				}); err != nil {
					return err
				}
			}

			return nil
		},
	}
}

// nodeStatus is this node as the Kubernetes stand-in has it.
func nodeStatus(n *node.Node) *reconciler {
	return &reconciler{
		name: "k8s.NodeStatusController", outputs: exclusive(k8s.NodenameType, k8s.NodeStatusType), wake: n.Peers.Changed, every: 5 * time.Second,
		do: func(ctx context.Context, r controller.Runtime, _ *zap.Logger) error {
			self := n.Peers.Self()
			if self.Hostname == "" {
				return nil
			}

			if err := safe.WriterModify(ctx, r, k8s.NewNodename(k8s.NamespaceName, k8s.NodenameID), func(res *k8s.Nodename) error {
				res.TypedSpec().Nodename = self.Hostname

				return nil
			}); err != nil {
				return err
			}

			return safe.WriterModify(ctx, r, k8s.NewNodeStatus(k8s.NamespaceName, self.Hostname), func(res *k8s.NodeStatus) error {
				*res.TypedSpec() = k8s.NodeStatusSpec{
					// A node registers with the API server, so there is none to be ready before the cluster is bootstrapped.
					Nodename: self.Hostname, NodeReady: n.Peers.Bootstrapped() && kube.NodeReady(self), Labels: kube.NodeLabels(self),
					Unschedulable: n.Peers.Cordoned(self.Hostname),
				}

				return nil
			})
		},
	}
}

// staticPods of a control plane appear when its etcd is up, as in Talos.
func staticPods(n *node.Node) *reconciler {
	return &reconciler{
		name: "k8s.KubeletStaticPodController", outputs: exclusive(k8s.StaticPodStatusType), wake: n.Peers.Changed, every: 5 * time.Second,
		sweeps: kind(k8s.NamespaceName, k8s.StaticPodStatusType),
		do: func(ctx context.Context, r controller.Runtime, _ *zap.Logger) error {
			self := n.Peers.Self()

			if self.ControlPlane && self.EtcdJoined {
				for _, name := range kube.StaticPods {
					id := "kube-system/" + name + "-" + self.Hostname

					if err := safe.WriterModify(ctx, r, k8s.NewStaticPodStatus(k8s.NamespaceName, id), func(res *k8s.StaticPodStatus) error {
						res.TypedSpec().PodStatus = kube.PodStatus(self, kube.NodeReady(self))

						return nil
					}); err != nil {
						return err
					}
				}
			}

			return nil
		},
	}
}

func etcdMember(n *node.Node) *reconciler {
	return &reconciler{
		name: "etcd.MemberController", outputs: exclusive(etcd.MemberType), wake: n.Peers.Changed,
		sweeps: kind(etcd.NamespaceName, etcd.MemberType),
		do: func(ctx context.Context, r controller.Runtime, _ *zap.Logger) error {
			if self := n.Peers.Self(); self.EtcdJoined {
				if err := safe.WriterModify(ctx, r, etcd.NewMember(etcd.NamespaceName, etcd.LocalMemberID), func(res *etcd.Member) error {
					res.TypedSpec().MemberID = etcd.FormatMemberID(kube.EtcdID(self))

					return nil
				}); err != nil {
					return err
				}
			}

			return nil
		},
	}
}
