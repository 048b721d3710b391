// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package services

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/resources/v1alpha1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	restartDelay   = time.Second
	healthInterval = 5 * time.Second
	keptEvents     = 32
)

// supervise runs one service until its context ends: it waits, starts, and starts again what ends.
func (m *Manager) supervise(ctx context.Context, e *entry, done chan struct{}) {
	defer close(done)

	if e.svc.Wait != nil {
		m.set(e, "Waiting", machine.ServiceStateEvent_WAITING, "Waiting for "+e.svc.WaitName)

		if err := e.svc.Wait(ctx); err != nil {
			m.set(e, "Finished", machine.ServiceStateEvent_FINISHED, "Service finished before it was started")

			return
		}
	}

	for {
		m.set(e, "Preparing", machine.ServiceStateEvent_PREPARING, "Running pre state")
		m.set(e, "Preparing", machine.ServiceStateEvent_PREPARING, "Creating service runner")

		err := m.runOnce(ctx, e)

		if ctx.Err() != nil {
			m.set(e, "Finished", machine.ServiceStateEvent_FINISHED, "Service finished successfully")

			return
		}

		if err == nil {
			err = errors.New("ended by itself")
		}

		m.set(e, "Waiting", machine.ServiceStateEvent_WAITING, fmt.Sprintf("Error running %s, going to restart forever: %s", e.svc.ID, err))

		select {
		case <-ctx.Done():
		case <-time.After(restartDelay):
		}
	}
}

// runOnce turns a panic of a service into its failure: one stand-in that breaks must not take PID 1 along.
func (m *Manager) runOnce(ctx context.Context, e *entry) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()

	runCtx, cancel := context.WithCancel(ctx)
	defer cancel()

	return e.svc.Run(runCtx, func(message string) {
		m.set(e, "Running", machine.ServiceStateEvent_RUNNING, message)

		if e.svc.Health != nil {
			go m.watchHealth(runCtx, e)
		}
	})
}

func (m *Manager) watchHealth(ctx context.Context, e *entry) {
	interval := 100 * time.Millisecond // until it is healthy for the first time

	for ctx.Err() == nil {
		checkCtx, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := e.svc.Health(checkCtx)

		cancel()

		if ctx.Err() != nil {
			return
		}

		if err == nil {
			interval = healthInterval
		}

		m.setHealth(e, err)

		select {
		case <-ctx.Done():
		case <-time.After(interval):
		}
	}
}

func (m *Manager) setHealth(e *entry, err error) {
	m.mu.Lock()
	first, was := !e.known, e.healthy
	m.mu.Unlock()

	record := func() {
		e.known, e.healthy, e.checked, e.health = true, err == nil, time.Now(), ""
		if err != nil {
			e.health = err.Error()
		}
	}

	switch {
	case err == nil && (first || !was):
		m.change(e, "Running", machine.ServiceStateEvent_RUNNING, "Health check successful", record)
	case err != nil && (first || was):
		m.change(e, "Running", machine.ServiceStateEvent_RUNNING, fmt.Sprintf("Health check failed: %s", err), record)
	default:
		m.mu.Lock()
		record()
		m.mu.Unlock()
	}
}

func (m *Manager) set(e *entry, stateName string, action machine.ServiceStateEvent_Action, message string) {
	m.change(e, stateName, action, message, func() {})
}

// change records a state with its message, publishes it, and updates the resource that `get services` and readiness read. Who
// waits sees the new state once all of that is done.
func (m *Manager) change(e *entry, stateName string, action machine.ServiceStateEvent_Action, message string, record func()) {
	m.publishing.Lock()
	defer m.publishing.Unlock()

	m.mu.Lock()
	record()

	e.state = stateName
	if stateName != "Running" {
		e.known, e.healthy, e.health = false, false, "Unknown"
	}

	e.events = append(e.events, &machine.ServiceEvent{Msg: message, State: stateName, Ts: timestamppb.Now()})
	if len(e.events) > keptEvents {
		e.events = e.events[len(e.events)-keptEvents:]
	}

	health := healthProto(e)
	spec := v1alpha1.ServiceSpec{Running: stateName == "Running", Healthy: e.healthy, Unknown: e.svc.Health == nil}

	m.mu.Unlock()

	log.Printf("service[%s](%s): %s", e.svc.ID, stateName, message)
	m.Events.Publish(context.Background(), &machine.ServiceStateEvent{Service: e.svc.ID, Action: action, Message: message, Health: health})

	m.publish(e.svc.ID, spec)

	m.mu.Lock()
	defer m.mu.Unlock()

	close(m.changed)
	m.changed = make(chan struct{})
}

// publish: a service has a resource only while it runs (internal/app/machined/pkg/controllers/v1alpha1/service.go).
func (m *Manager) publish(id string, spec v1alpha1.ServiceSpec) {
	ctx := context.Background()
	res := v1alpha1.NewService(id)

	if !spec.Running {
		m.State.Destroy(ctx, res.Metadata()) //nolint:errcheck // it may never have run

		return
	}

	safe.StateModify(ctx, m.State, res, func(r *v1alpha1.Service) error { //nolint:errcheck // a state in memory
		*r.TypedSpec() = spec

		return nil
	})
}

func healthProto(e *entry) *machine.ServiceHealth {
	return &machine.ServiceHealth{
		Unknown: !e.known, Healthy: e.healthy, LastMessage: e.health, LastChange: timestamppb.New(e.checked),
	}
}
