// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package controllers

import (
	"context"
	"sync"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/resources/k8s"
	"github.com/siderolabs/talos/pkg/machinery/resources/network"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	"github.com/siderolabs/talos/pkg/machinery/resources/time"
	"github.com/siderolabs/talos/pkg/machinery/resources/v1alpha1"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"lab.invalid/guest/internal/events"
	"lab.invalid/guest/internal/node"
	"lab.invalid/guest/internal/sequencer"
)

// stages derives the machine's stage from the sequences that run (internal/app/machined/pkg/controllers/runtime/machine_status.go).
type stages struct {
	mu      sync.Mutex
	stage   runtime.MachineStage
	changed chan struct{}
}

func newStages(stream *events.Stream) *stages {
	s := &stages{changed: make(chan struct{})}

	go stream.Watch(context.Background(), events.Since{Tail: -1}, func(e events.Event) error { //nolint:errcheck // never ends
		if ev, ok := e.Payload.(*machine.SequenceEvent); ok {
			s.see(ev)
		}

		return nil
	})

	return s
}

var atStart = map[string]runtime.MachineStage{
	sequencer.Initialize: runtime.MachineStageBooting,
	sequencer.Install:    runtime.MachineStageInstalling,
	sequencer.Boot:       runtime.MachineStageBooting,
	sequencer.Reboot:     runtime.MachineStageRebooting,
	sequencer.Shutdown:   runtime.MachineStageShuttingDown,
	sequencer.Upgrade:    runtime.MachineStageUpgrading,
}

func (s *stages) see(ev *machine.SequenceEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()

	before := s.stage

	switch {
	case ev.GetAction() == machine.SequenceEvent_START:
		s.stage = atStart[ev.GetSequence()]
	case ev.GetAction() == machine.SequenceEvent_STOP && ev.GetSequence() == sequencer.Boot && s.stage == runtime.MachineStageBooting:
		s.stage = runtime.MachineStageRunning
	}

	if s.stage != before {
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

func (s *stages) wake() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.changed
}

func (s *stages) get() runtime.MachineStage {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.stage
}

// machineStatus publishes stage and readiness, as a resource and as an event, and prints the ready line once per boot.
func machineStatus(n *node.Node, s *stages) *reconciler {
	said := false

	var last *machine.MachineStatusEvent

	return &reconciler{
		name: "runtime.MachineStatusController",
		inputs: []controller.Input{
			input(v1alpha1.NamespaceName, time.StatusType), input(network.NamespaceName, network.StatusType),
			input(v1alpha1.NamespaceName, v1alpha1.ServiceType), input(k8s.NamespaceName, k8s.StaticPodStatusType),
			input(k8s.NamespaceName, k8s.NodenameType), input(k8s.NamespaceName, k8s.NodeStatusType),
		},
		outputs: exclusive(runtime.MachineStatusType),
		wake:    s.wake,
		do: func(ctx context.Context, r controller.Runtime, logger *zap.Logger) error {
			stage := s.get()

			unmet, err := unmetConditions(ctx, n, r, stage)
			if err != nil {
				return err
			}

			ready := len(unmet) == 0

			if err = safe.WriterModify(ctx, r, runtime.NewMachineStatus(), func(m *runtime.MachineStatus) error {
				m.TypedSpec().Stage = stage
				m.TypedSpec().Status = runtime.MachineStatusStatus{Ready: ready, UnmetConditions: unmet}

				return nil
			}); err != nil {
				return err
			}

			if event := statusEvent(stage, unmet); last == nil || !proto.Equal(event, last) {
				last = event
				n.Events.Publish(ctx, event)
			}

			if stage == runtime.MachineStageRunning && ready && !said {
				said = true

				logger.Info("machine is running and ready")
			}

			return nil
		},
	}
}

func statusEvent(stage runtime.MachineStage, unmet []runtime.UnmetCondition) *machine.MachineStatusEvent {
	status := &machine.MachineStatusEvent_MachineStatus{Ready: len(unmet) == 0}
	for _, c := range unmet {
		status.UnmetConditions = append(status.UnmetConditions, &machine.MachineStatusEvent_MachineStatus_UnmetCondition{
			Name: c.Name, Reason: c.Reason,
		})
	}

	return &machine.MachineStatusEvent{Stage: machine.MachineStatusEvent_MachineStage(stage), Status: status}
}
