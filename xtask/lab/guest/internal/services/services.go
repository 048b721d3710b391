// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Package services runs the node's services, keeps their states and histories, and restarts what fails.
//
// It must not know what a service does; internal/boot lists them. States and messages are those of
// internal/app/machined/pkg/system/service_runner.go.
package services

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"

	"lab.invalid/guest/internal/events"
)

// Service is one thing to run.
type Service struct {
	ID string
	// Wait returns when the service may start; its description is shown while it waits. May be nil.
	Wait     func(ctx context.Context) error
	WaitName string
	// Run runs until ctx ends. It calls up() once it does its job.
	Run func(ctx context.Context, up func(message string)) error
	// Health is asked every few seconds while the service runs. Nil means that nothing is known about its health.
	Health func(ctx context.Context) error
	// API says that `talosctl service ID restart|stop|start` is allowed.
	API bool
}

type entry struct {
	svc     Service
	cancel  context.CancelFunc
	done    chan struct{}
	state   string
	events  []*machine.ServiceEvent
	healthy bool
	known   bool
	health  string
	checked time.Time
}

// Manager owns the services.
type Manager struct {
	Events *events.Stream
	State  state.State

	mu      sync.Mutex
	entries map[string]*entry
	changed chan struct{}

	// publishing is held while a state goes to the console, the events and the resources: it keeps them in order. Taken before mu.
	publishing sync.Mutex
}

// New makes a manager without services.
func New(ev *events.Stream, st state.State) *Manager {
	return &Manager{Events: ev, State: st, entries: map[string]*entry{}, changed: make(chan struct{})}
}

// Load adds services without starting them.
func (m *Manager) Load(list ...Service) {
	m.mu.Lock()
	defer m.mu.Unlock()

	for _, svc := range list {
		if m.entries[svc.ID] == nil {
			m.entries[svc.ID] = &entry{svc: svc, state: "Initialized", health: "Unknown"}
		}
	}
}

// Start starts loaded services; those that run already are left alone.
func (m *Manager) Start(ids ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()

	for _, id := range ids {
		e := m.entries[id]
		if e == nil {
			return fmt.Errorf("service \"%s\" not defined", id)
		}

		if e.done != nil {
			select {
			case <-e.done:
			default:
				continue
			}
		}

		var ctx context.Context

		ctx, e.cancel = context.WithCancel(context.Background())
		e.done = make(chan struct{})

		go m.supervise(ctx, e, e.done)
	}

	return nil
}

// Stop ends services and waits for them, all at once.
func (m *Manager) Stop(ctx context.Context, ids ...string) error {
	var waits []chan struct{}

	m.mu.Lock()

	for _, id := range ids {
		e := m.entries[id]
		if e == nil {
			m.mu.Unlock()

			return fmt.Errorf("service \"%s\" not defined", id)
		}

		if e.cancel != nil {
			e.cancel()
			waits = append(waits, e.done)
		}
	}

	m.mu.Unlock()

	for _, done := range waits {
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}

	return nil
}

// IDs of all loaded services, sorted.
func (m *Manager) IDs() []string {
	m.mu.Lock()
	defer m.mu.Unlock()

	ids := make([]string, 0, len(m.entries))
	for id := range m.entries {
		ids = append(ids, id)
	}

	slices.Sort(ids)

	return ids
}

// Allowed tells whether the API may control a service.
func (m *Manager) Allowed(id string) (defined, allowed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()

	e := m.entries[id]

	return e != nil, e != nil && e.svc.API
}

// WaitUp returns when the services run and are healthy (or have no health), or when ctx ends.
func (m *Manager) WaitUp(ctx context.Context, ids ...string) error {
	for {
		m.publishing.Lock()
		m.mu.Lock()

		up := true

		for _, id := range ids {
			e := m.entries[id]
			up = up && e != nil && e.state == "Running" && (e.svc.Health == nil || e.healthy)
		}

		changed := m.changed
		m.mu.Unlock()
		m.publishing.Unlock()

		if up {
			return nil
		}

		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// List is ServiceList's answer.
func (m *Manager) List() []*machine.ServiceInfo {
	m.mu.Lock()
	defer m.mu.Unlock()

	var list []*machine.ServiceInfo

	for _, e := range m.entries {
		list = append(list, &machine.ServiceInfo{
			Id: e.svc.ID, State: e.state, Events: &machine.ServiceEvents{Events: slices.Clone(e.events)}, Health: healthProto(e),
		})
	}

	slices.SortFunc(list, func(a, b *machine.ServiceInfo) int {
		if a.Id < b.Id {
			return -1
		}

		return 1
	})

	return list
}
