// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package services_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/resources/v1alpha1"

	"lab.invalid/guest/internal/events"
	"lab.invalid/guest/internal/resources"
	"lab.invalid/guest/internal/services"
)

func manager(t *testing.T) *services.Manager {
	t.Helper()

	st, err := resources.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	return services.New(events.New(), st)
}

func until(t *testing.T) context.Context {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)

	return ctx
}

func idle(ctx context.Context, up func(string)) error {
	up("here")
	<-ctx.Done()

	return nil
}

func TestLife(t *testing.T) {
	m := manager(t)
	gate := make(chan struct{})

	var healthy atomic.Bool

	m.Load(services.Service{
		ID: "x", Run: idle, WaitName: "the gate",
		Wait: func(ctx context.Context) error {
			select {
			case <-gate:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
		Health: func(context.Context) error {
			if !healthy.Load() {
				return errors.New("not yet")
			}

			return nil
		},
	})

	if err := m.Start("x"); err != nil {
		t.Fatal(err)
	}

	close(gate)

	// Up means healthy, not merely running.
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()

	if m.WaitUp(short, "x") == nil {
		t.Error("a service whose health check fails counts as up")
	}

	healthy.Store(true)

	if err := m.WaitUp(until(t), "x"); err != nil {
		t.Fatal(err)
	}

	id := v1alpha1.NewService("x").Metadata()

	res, err := safe.StateGet[*v1alpha1.Service](t.Context(), m.State, id)
	if err != nil || !res.TypedSpec().Running || !res.TypedSpec().Healthy {
		t.Errorf("resource: %v %v", res, err)
	}

	if err = m.Stop(until(t), "x"); err != nil {
		t.Fatal(err)
	}

	if _, err = m.State.Get(t.Context(), id); !state.IsNotFoundError(err) {
		t.Errorf("a stopped service still has its resource: %v", err)
	}

	if list := m.List(); list[0].GetState() != "Finished" {
		t.Errorf("state: %s", list[0].GetState())
	}

	if err = m.Start("x"); err != nil {
		t.Fatal(err)
	}

	if err = m.WaitUp(until(t), "x"); err != nil {
		t.Errorf("after a stop it does not start again: %v", err)
	}
}

func TestWhatEndsIsStartedAgain(t *testing.T) {
	m := manager(t)

	var runs atomic.Int32

	m.Load(services.Service{ID: "x", Run: func(ctx context.Context, up func(string)) error {
		switch runs.Add(1) {
		case 1:
			panic("first")
		case 2:
			return errors.New("second")
		}

		return idle(ctx, up)
	}})

	if err := m.Start("x"); err != nil {
		t.Fatal(err)
	}

	if err := m.WaitUp(until(t), "x"); err != nil || runs.Load() != 3 {
		t.Fatalf("%v after %d runs", err, runs.Load())
	}
}

func TestUnknownServices(t *testing.T) {
	m := manager(t)
	if m.Start("x") == nil || m.Stop(t.Context(), "x") == nil {
		t.Error("a service that is not defined was started or stopped")
	}
}
