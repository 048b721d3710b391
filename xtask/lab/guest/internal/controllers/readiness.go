// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/resources/k8s"
	"github.com/siderolabs/talos/pkg/machinery/resources/network"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	"github.com/siderolabs/talos/pkg/machinery/resources/time"
	"github.com/siderolabs/talos/pkg/machinery/resources/v1alpha1"

	"lab.invalid/guest/internal/node"
)

// unmetConditions are what keeps the node from being ready, under Talos' names. A node on its way down has none.
func unmetConditions(ctx context.Context, n *node.Node, r controller.Reader, stage runtime.MachineStage) ([]runtime.UnmetCondition, error) {
	if stage != runtime.MachineStageBooting && stage != runtime.MachineStageRunning {
		return nil, nil
	}

	var unmet []runtime.UnmetCondition

	for _, check := range []struct {
		name string
		f    func(context.Context, *node.Node, controller.Reader) (string, error)
	}{
		{"time", timeReason}, {"network", networkReason}, {"services", servicesReason}, {"staticPods", podsReason}, {"nodeReady", nodeReason},
		{"lab", faultReason},
	} {
		reason, err := check.f(ctx, n, r)
		if err != nil {
			return nil, err
		}

		if reason != "" {
			unmet = append(unmet, runtime.UnmetCondition{Name: check.name, Reason: reason})
		}
	}

	return unmet, nil
}

// faultReason keeps the node from ever becoming ready, if the kernel command line asks for it.
func faultReason(_ context.Context, n *node.Node, _ controller.Reader) (string, error) {
	if slices.Contains(n.Cmdline.All("lab.fault"), "no-ready") {
		return "lab.fault=no-ready is on the kernel command line", nil
	}

	return "", nil
}

func timeReason(ctx context.Context, _ *node.Node, r controller.Reader) (string, error) {
	res, err := safe.ReaderGet[*time.Status](ctx, r, time.NewStatus().Metadata())
	if err != nil && !state.IsNotFoundError(err) {
		return "", err
	}

	if res == nil || !res.TypedSpec().Synced {
		return "time is not synced", nil
	}

	return "", nil
}

func networkReason(ctx context.Context, _ *node.Node, r controller.Reader) (string, error) {
	res, err := safe.ReaderGet[*network.Status](ctx, r, network.NewStatus(network.NamespaceName, network.StatusID).Metadata())
	if err != nil && !state.IsNotFoundError(err) {
		return "", err
	}

	var waits []string

	if res == nil || !res.TypedSpec().AddressReady {
		waits = append(waits, "address")
	}

	if res == nil || !res.TypedSpec().HostnameReady {
		waits = append(waits, "hostname")
	}

	if len(waits) > 0 {
		return "waiting on: " + strings.Join(waits, ", "), nil
	}

	return "", nil
}

func servicesReason(ctx context.Context, n *node.Node, r controller.Reader) (string, error) {
	list, err := safe.ReaderListAll[*v1alpha1.Service](ctx, r)
	if err != nil {
		return "", err
	}

	running := map[string]bool{}

	var problems []string

	for svc := range list.All() {
		spec := svc.TypedSpec()
		running[svc.Metadata().ID()] = spec.Running

		if !spec.Unknown && !spec.Healthy {
			problems = append(problems, svc.Metadata().ID()+" not healthy")
		}
	}

	required := []string{"apid", "machined", "kubelet"}
	if n.ControlPlane() {
		required = append(required, "etcd", "trustd")
	}

	for _, id := range required {
		if !running[id] {
			problems = append(problems, id+" not running")
		}
	}

	return strings.Join(problems, ", "), nil
}

func podsReason(ctx context.Context, _ *node.Node, r controller.Reader) (string, error) {
	list, err := safe.ReaderListAll[*k8s.StaticPodStatus](ctx, r)
	if err != nil {
		return "", err
	}

	var problems []string

	for pod := range list.All() {
		ready := false

		conditions, _ := pod.TypedSpec().PodStatus["conditions"].([]any)
		for _, c := range conditions {
			if fields, ok := c.(map[string]any); ok && fields["type"] == "Ready" {
				ready = fields["status"] == "True"
			}
		}

		if !ready {
			problems = append(problems, pod.Metadata().ID()+" not ready")
		}
	}

	return strings.Join(problems, ", "), nil
}

func nodeReason(ctx context.Context, _ *node.Node, r controller.Reader) (string, error) {
	name, err := safe.ReaderGetByID[*k8s.Nodename](ctx, r, k8s.NodenameID)
	if state.IsNotFoundError(err) {
		return "", nil
	}

	if err != nil {
		return "", err
	}

	res, err := safe.ReaderGetByID[*k8s.NodeStatus](ctx, r, name.TypedSpec().Nodename)

	switch {
	case state.IsNotFoundError(err):
		return fmt.Sprintf("node %q status is not available yet", name.TypedSpec().Nodename), nil
	case err != nil:
		return "", err
	case !res.TypedSpec().NodeReady:
		return fmt.Sprintf("node %q is not ready", name.TypedSpec().Nodename), nil
	}

	return "", nil
}
