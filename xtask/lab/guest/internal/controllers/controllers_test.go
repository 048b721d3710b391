// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package controllers

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/config/generate"
	configmachine "github.com/siderolabs/talos/pkg/machinery/config/machine"
	"github.com/siderolabs/talos/pkg/machinery/resources/cluster"
	cfgres "github.com/siderolabs/talos/pkg/machinery/resources/config"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"lab.invalid/guest/internal/kernel"
	"lab.invalid/guest/internal/netup"
	"lab.invalid/guest/internal/node"
	"lab.invalid/guest/internal/peers"
	"lab.invalid/guest/internal/resources"
	"lab.invalid/guest/internal/sequencer"
	"lab.invalid/guest/internal/services"
)

func TestParseModule(t *testing.T) {
	name, spec, ok := parseModule("failover 16384 1 net_failover,virtio_net, Live 0xffffffffc0123000 (OE)")
	if !ok || name != "failover" || spec.Size != 16384 || spec.ReferenceCount != 1 || spec.State != "Live" || spec.Address != "0xffffffffc0123000" ||
		!slices.Equal(spec.Dependencies, []string{"net_failover", "virtio_net"}) {
		t.Errorf("%v %q %+v", ok, name, spec)
	}

	if _, spec, ok = parseModule("dummy 16384 0 - Live 0x0000000000000000"); !ok || len(spec.Dependencies) != 0 {
		t.Errorf("%v %+v", ok, spec)
	}

	for _, bad := range []string{"", "dummy", "dummy x 0 - Live 0x0"} {
		if _, _, ok = parseModule(bad); ok {
			t.Errorf("%q was taken for a module", bad)
		}
	}
}

func TestParseStat(t *testing.T) {
	s := parseStat("cpu  200 0 100 5000 1 2 3 0 0 0\ncpu0 200 0 100 5000 1 2 3 0 0 0\nintr 42 1 2\nctxt 7\nprocesses 9\nprocs_running 1\n")
	if s.CPUTotal.User != 2 || s.CPUTotal.Idle != 50 || len(s.CPU) != 1 || s.IRQTotal != 42 || s.ContextSwitches != 7 || s.ProcessCreated != 9 {
		t.Errorf("%+v", s)
	}
}

// start runs every controller over a node that has nothing but a network and, as services, what readiness asks for.
func start(t *testing.T, cmdline string) (*node.Node, *observer.ObservedLogs) {
	t.Helper()

	n := node.New(kernel.ParseCmdline(cmdline), "v1.12.0")

	var err error
	if n.State, err = resources.New(t.Context()); err != nil {
		t.Fatal(err)
	}

	n.Services = services.New(n.Events, n.State)
	n.SetNetwork(&netup.Lease{Address: netip.MustParsePrefix("172.20.0.2/24"), Hostname: n.Hostname()})

	for _, id := range []string{"apid", "machined", "kubelet"} {
		n.Services.Load(services.Service{ID: id, Run: func(ctx context.Context, up func(string)) error {
			up("here")
			<-ctx.Done()

			return nil
		}})

		if err = n.Services.Start(id); err != nil {
			t.Fatal(err)
		}
	}

	core, seen := observer.New(zapcore.InfoLevel)

	rt, err := Runtime(n, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})

	go func() {
		defer close(done)
		rt.Run(ctx) //nolint:errcheck
	}()

	t.Cleanup(func() { cancel(); <-done })

	return n, seen
}

// waitStatus waits until the machine's status is as wanted.
func waitStatus(t *testing.T, n *node.Node, what string, want func(*runtime.MachineStatusSpec) bool) {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()

	if _, err := n.State.WatchFor(ctx, runtime.NewMachineStatus().Metadata(), state.WithCondition(func(r resource.Resource) (bool, error) {
		res, ok := r.(*runtime.MachineStatus)

		return ok && want(res.TypedSpec()), nil
	})); err != nil {
		res, _ := safe.StateGetByID[*runtime.MachineStatus](context.Background(), n.State, runtime.MachineStatusID)
		t.Fatalf("waiting for %s: %v; the last status is %+v", what, err, res.TypedSpec())
	}
}

func ready(s *runtime.MachineStatusSpec) bool {
	return s.Stage == runtime.MachineStageRunning && s.Status.Ready
}

func readyLines(seen *observer.ObservedLogs) int {
	return seen.FilterMessage("machine is running and ready").Len()
}

// worker applies a worker's config as talosctl generates it.
func worker(t *testing.T, n *node.Node) {
	t.Helper()

	in, err := generate.NewInput("c", "https://172.20.0.1:6443", "1.34.1", generate.WithInstallImage("ghcr.io/siderolabs/installer:v1.11.3"))
	if err != nil {
		t.Fatal(err)
	}

	provider, err := in.Config(configmachine.TypeWorker)
	if err != nil {
		t.Fatal(err)
	}

	n.SetConfig(provider)

	if err = n.State.Create(t.Context(), cfgres.NewMachineConfig(provider)); err != nil {
		t.Fatal(err)
	}
}

// join makes the node known and the cluster bootstrapped.
func join(n *node.Node) {
	n.Peers.UpdateSelf(func(m *peers.Member) {
		*m = peers.Member{Hostname: n.Hostname(), NodeID: "1", BootID: "b", Address: n.Address(), KubeletUp: true, OS: n.OSImage()}
	})
	n.Peers.SetBootstrapped()
}

func boot(t *testing.T, n *node.Node) {
	t.Helper()

	n.Events.Publish(t.Context(), &machine.SequenceEvent{Sequence: sequencer.Boot, Action: machine.SequenceEvent_START})
	n.Events.Publish(t.Context(), &machine.SequenceEvent{Sequence: sequencer.Boot, Action: machine.SequenceEvent_STOP})
}

func TestANodeBecomesReady(t *testing.T) {
	n, seen := start(t, "")

	if n.Version() != "v1.12.0" {
		t.Errorf("without a config the version is %s", n.Version())
	}

	worker(t, n)
	boot(t, n)
	waitStatus(t, n, "running, and only the node's own readiness missing", func(s *runtime.MachineStatusSpec) bool {
		return s.Stage == runtime.MachineStageRunning && len(s.Status.UnmetConditions) == 0 ||
			len(s.Status.UnmetConditions) == 1 && s.Status.UnmetConditions[0].Name == "nodeReady"
	})

	join(n)
	waitStatus(t, n, "ready", ready)

	// The line follows the status that it speaks of.
	for limit := time.Now().Add(10 * time.Second); readyLines(seen) == 0 && time.Now().Before(limit); {
		time.Sleep(time.Millisecond)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()

	// Its controller runs beside the one that says ready: either may be first.
	if _, err := n.State.WatchFor(ctx, runtime.NewVersion().Metadata(), state.WithCondition(func(r resource.Resource) (bool, error) {
		v, ok := r.(*runtime.Version)

		return ok && v.TypedSpec().Version == "v1.11.3", nil
	})); err != nil {
		t.Errorf("the version does not follow the install image: %v", err)
	}

	if _, err := n.State.WatchFor(ctx, cluster.NewMember(cluster.NamespaceName, n.Hostname()).Metadata(), state.WithCondition(func(r resource.Resource) (bool, error) {
		m, ok := r.(*cluster.Member)

		return ok && m.TypedSpec().OperatingSystem == "Talos (v1.11.3) lab stand-in, not Talos", nil
	})); err != nil {
		t.Errorf("this node is not a member: %v", err)
	}

	n.Events.Publish(t.Context(), &machine.SequenceEvent{Sequence: sequencer.Reboot, Action: machine.SequenceEvent_START})
	waitStatus(t, n, "rebooting", func(s *runtime.MachineStatusSpec) bool { return s.Stage == runtime.MachineStageRebooting })

	if count := readyLines(seen); count != 1 {
		t.Errorf("the ready line was printed %d times", count)
	}
}

func TestTheNoReadyFault(t *testing.T) {
	n, seen := start(t, "lab.fault=no-ready")
	worker(t, n)
	join(n)
	boot(t, n)
	waitStatus(t, n, "the fault alone", func(s *runtime.MachineStatusSpec) bool {
		return s.Stage == runtime.MachineStageRunning && len(s.Status.UnmetConditions) == 1 && s.Status.UnmetConditions[0].Name == "lab"
	})

	if readyLines(seen) != 0 {
		t.Error("the ready line was printed")
	}
}
