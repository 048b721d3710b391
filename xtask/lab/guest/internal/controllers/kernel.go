// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package controllers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/pmorjan/kmod"
	cfgres "github.com/siderolabs/talos/pkg/machinery/resources/config"
	"github.com/siderolabs/talos/pkg/machinery/resources/perf"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	"go.uber.org/zap"

	"lab.invalid/guest/internal/node"
)

// ModuleFolders hold kernel modules: Talos' place and the one of an overlay that was packed without `usr`.
func ModuleFolders() []string {
	release := node.KernelRelease()

	return []string{"/usr/lib/modules/" + release, "/lib/modules/" + release}
}

func kernelModuleConfig(n *node.Node) *reconciler {
	return &reconciler{
		name:    "runtime.KernelModuleConfigController",
		inputs:  []controller.Input{input(cfgres.NamespaceName, cfgres.MachineConfigType)},
		outputs: exclusive(runtime.KernelModuleSpecType),
		sweeps:  kind(runtime.NamespaceName, runtime.KernelModuleSpecType),
		do: func(ctx context.Context, r controller.Runtime, _ *zap.Logger) error {
			if c := n.Config(); c != nil && c.Machine() != nil {
				for _, m := range c.Machine().Kernel().Modules() {
					if err := safe.WriterModify(ctx, r, runtime.NewKernelModuleSpec(runtime.NamespaceName, m.Name()), func(s *runtime.KernelModuleSpec) error {
						*s.TypedSpec() = runtime.KernelModuleSpecSpec{Name: m.Name(), Parameters: m.Parameters()}

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

// kernelModuleSpec loads what the config asks for, with the library of Talos and so with its errors: it goes by modules.dep. A
// failure fails the controller, which is then run again and again with a growing delay: the same line as in Talos appears each
// time (internal/app/machined/pkg/controllers/runtime/kernel_module_spec.go).
func kernelModuleSpec() *reconciler {
	return &reconciler{
		name:   "runtime.KernelModuleSpecController",
		inputs: []controller.Input{input(runtime.NamespaceName, runtime.KernelModuleSpecType)},
		do: func(ctx context.Context, r controller.Runtime, _ *zap.Logger) error {
			specs, err := safe.ReaderListAll[*runtime.KernelModuleSpec](ctx, r)
			if err != nil || specs.Len() == 0 {
				return err
			}

			manager, err := kmod.New()
			if err != nil {
				return fmt.Errorf("error initializing kmod manager: %w", err)
			}

			var all error

			for spec := range specs.All() {
				name := spec.TypedSpec().Name
				if err = manager.Load(name, strings.Join(spec.TypedSpec().Parameters, " "), 0); err != nil {
					all = errors.Join(all, fmt.Errorf("error loading module %q: %w", name, err))
				}
			}

			return all
		},
	}
}

// loadedKernelModules is /proc/modules as resources.
func loadedKernelModules() *reconciler {
	return &reconciler{
		name: "runtime.LoadedKernelModuleController", outputs: exclusive(runtime.LoadedKernelModuleType), every: 2 * time.Second,
		sweeps: kind(runtime.NamespaceName, runtime.LoadedKernelModuleType),
		do: func(ctx context.Context, r controller.Runtime, _ *zap.Logger) error {
			f, err := os.Open("/proc/modules")
			if err != nil {
				return err
			}
			defer f.Close() //nolint:errcheck

			for scanner := bufio.NewScanner(f); scanner.Scan(); {
				name, spec, ok := parseModule(scanner.Text())
				if !ok {
					continue
				}

				if err = safe.WriterModify(ctx, r, runtime.NewLoadedKernelModule(runtime.NamespaceName, name), func(m *runtime.LoadedKernelModule) error {
					*m.TypedSpec() = spec

					return nil
				}); err != nil {
					return err
				}
			}

			return nil
		},
	}
}

// parseModule reads a line such as `virtio_net 90112 0 - Live 0xffffffffc0123000` or `failover 16384 1 net_failover, Live 0x… (OE)`.
func parseModule(line string) (string, runtime.LoadedKernelModuleSpec, bool) {
	field := strings.Fields(line)
	if len(field) < 6 {
		return "", runtime.LoadedKernelModuleSpec{}, false
	}

	size, err1 := strconv.Atoi(field[1])
	count, err2 := strconv.Atoi(field[2])
	spec := runtime.LoadedKernelModuleSpec{Size: size, ReferenceCount: count, State: field[4], Address: field[5]}

	for _, dep := range strings.Split(field[3], ",") {
		if dep != "" && dep != "-" {
			spec.Dependencies = append(spec.Dependencies, dep)
		}
	}

	return field[0], spec, err1 == nil && err2 == nil
}

// perfStats publishes counters of /proc/stat and /proc/meminfo.
func perfStats() *reconciler {
	return &reconciler{
		name: "perf.StatsController", outputs: exclusive(perf.CPUType, perf.MemoryType), every: 30 * time.Second,
		do: func(ctx context.Context, r controller.Runtime, _ *zap.Logger) error {
			mem, err := node.Meminfo()
			if err != nil {
				return err
			}

			if err = safe.WriterModify(ctx, r, perf.NewMemory(), func(m *perf.Memory) error {
				s := m.TypedSpec()
				s.MemTotal, s.MemAvailable, s.MemUsed = mem["MemTotal"], mem["MemAvailable"], mem["MemTotal"]-mem["MemFree"]
				s.Buffers, s.Cached, s.Active, s.Inactive = mem["Buffers"], mem["Cached"], mem["Active"], mem["Inactive"]
				s.AnonPages, s.Mapped, s.Shmem, s.Slab = mem["AnonPages"], mem["Mapped"], mem["Shmem"], mem["Slab"]

				return nil
			}); err != nil {
				return err
			}

			stat, err := os.ReadFile("/proc/stat")
			if err != nil {
				return err
			}

			return safe.WriterModify(ctx, r, perf.NewCPU(), func(c *perf.CPU) error {
				*c.TypedSpec() = parseStat(string(stat))

				return nil
			})
		},
	}
}

// parseStat reads /proc/stat; times are in hundredths of a second there and in seconds here.
func parseStat(stat string) perf.CPUSpec {
	var spec perf.CPUSpec

	for _, line := range strings.Split(stat, "\n") {
		field := strings.Fields(line)
		if len(field) < 2 {
			continue
		}

		v := make([]uint64, 10)
		for i := range min(len(field)-1, len(v)) {
			v[i], _ = strconv.ParseUint(field[i+1], 10, 64)
		}

		cpu := perf.CPUStat{
			User: float64(v[0]) / 100, Nice: float64(v[1]) / 100, System: float64(v[2]) / 100, Idle: float64(v[3]) / 100, Iowait: float64(v[4]) / 100,
			Irq: float64(v[5]) / 100, SoftIrq: float64(v[6]) / 100, Steal: float64(v[7]) / 100, Guest: float64(v[8]) / 100, GuestNice: float64(v[9]) / 100,
		}

		switch {
		case field[0] == "cpu":
			spec.CPUTotal = cpu
		case strings.HasPrefix(field[0], "cpu"):
			spec.CPU = append(spec.CPU, cpu)
		case field[0] == "intr":
			spec.IRQTotal = v[0]
		case field[0] == "ctxt":
			spec.ContextSwitches = v[0]
		case field[0] == "processes":
			spec.ProcessCreated = v[0]
		case field[0] == "procs_running":
			spec.ProcessRunning = v[0]
		case field[0] == "procs_blocked":
			spec.ProcessBlocked = v[0]
		case field[0] == "softirq":
			spec.SoftIrqTotal = v[0]
		}
	}

	return spec
}
