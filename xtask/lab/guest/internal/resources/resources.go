// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Package resources makes the COSI state with the types that this node fills. A type that is not here is answered by
// talosctl itself with "resource is not registered", which is better than an empty list that looks like a fact.
//
// It must not write resources: controllers and services do.
package resources

import (
	"context"

	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/impl/inmem"
	"github.com/cosi-project/runtime/pkg/state/impl/namespaced"
	"github.com/cosi-project/runtime/pkg/state/registry"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
	"github.com/siderolabs/talos/pkg/machinery/resources/cluster"
	"github.com/siderolabs/talos/pkg/machinery/resources/config"
	"github.com/siderolabs/talos/pkg/machinery/resources/etcd"
	"github.com/siderolabs/talos/pkg/machinery/resources/hardware"
	"github.com/siderolabs/talos/pkg/machinery/resources/k8s"
	"github.com/siderolabs/talos/pkg/machinery/resources/network"
	"github.com/siderolabs/talos/pkg/machinery/resources/perf"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	"github.com/siderolabs/talos/pkg/machinery/resources/time"
	"github.com/siderolabs/talos/pkg/machinery/resources/v1alpha1"
)

var namespaces = map[string]string{
	v1alpha1.NamespaceName:        "Services and runtime of the lab's stand-in node.",
	cluster.NamespaceName:         "Cluster membership as the nodes tell each other.",
	config.NamespaceName:          "Machine configuration.",
	etcd.NamespaceName:            "Membership of the etcd stand-in.",
	hardware.NamespaceName:        "Hardware as the kernel shows it.",
	k8s.NamespaceName:             "The Kubernetes stand-in, all nodes.",
	k8s.ControlPlaneNamespaceName: "The Kubernetes stand-in, control plane.",
	network.NamespaceName:         "Network as the kernel shows it.",
	perf.NamespaceName:            "Counters as the kernel shows them.",
}

var types = []meta.ResourceWithRD{
	&block.VolumeStatus{},
	&cluster.Identity{},
	&cluster.Info{},
	&cluster.Member{},
	&config.MachineConfig{},
	&config.MachineType{},
	&etcd.Member{},
	&hardware.SystemInformation{},
	&k8s.BootstrapManifestsConfig{},
	&k8s.Nodename{},
	&k8s.NodeStatus{},
	&k8s.StaticPodStatus{},
	&network.AddressStatus{},
	&network.HostnameStatus{},
	&network.LinkStatus{},
	&network.NodeAddress{},
	&network.ResolverStatus{},
	&network.Status{},
	&perf.CPU{},
	&perf.Memory{},
	&runtime.Diagnostic{},
	&runtime.ExtensionServiceConfig{},
	&runtime.ExtensionStatus{},
	&runtime.KernelCmdline{},
	&runtime.KernelModuleSpec{},
	&runtime.LoadedKernelModule{},
	&runtime.MachineStatus{},
	&runtime.MountStatus{},
	&runtime.SecurityState{},
	&runtime.Version{},
	&time.Status{},
	&v1alpha1.Service{},
}

// New makes the state.
func New(ctx context.Context) (state.State, error) {
	st := state.WrapCore(namespaced.NewState(inmem.Build))
	ns, rd := registry.NewNamespaceRegistry(st), registry.NewResourceRegistry(st)

	if err := ns.RegisterDefault(ctx); err != nil {
		return nil, err
	}

	if err := rd.RegisterDefault(ctx); err != nil {
		return nil, err
	}

	for name, description := range namespaces {
		if err := ns.Register(ctx, name, description); err != nil {
			return nil, err
		}
	}

	for _, t := range types {
		if err := rd.Register(ctx, t); err != nil {
			return nil, err
		}
	}

	return st, nil
}
