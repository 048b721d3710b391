package controllers

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/resources/cluster"
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

func status(t *testing.T, n *node.Node, want func(*runtime.MachineStatusSpec) bool) {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()

	if _, err := n.State.WatchFor(ctx, runtime.NewMachineStatus().Metadata(), state.WithConditionFor(want2(want))); err != nil {
		res, _ := safe.StateGetByID[*runtime.MachineStatus](context.Background(), n.State, runtime.MachineStatusID)
		t.Fatalf("%v; the last status is %+v", err, res)
	}
}
