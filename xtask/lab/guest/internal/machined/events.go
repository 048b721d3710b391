// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package machined

import (
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc"

	"lab.invalid/guest/internal/events"
)

// Events streams the node's events. The first message is empty: clients take it as the sign that they are subscribed, and only
// then ask for the reboot whose events they want to see (v1alpha1_server.go).
func (s *Server) Events(in *machine.EventsRequest, stream grpc.ServerStreamingServer[machine.Event]) error {
	defer s.n.Events.Join()()

	if err := stream.Send(&machine.Event{}); err != nil {
		return err
	}

	since := events.Since{Tail: int(in.GetTailEvents()), After: in.GetTailId(), Age: time.Duration(in.GetTailSeconds()) * time.Second}

	return s.n.Events.Watch(stream.Context(), since, func(e events.Event) error {
		if in.GetWithActorId() != "" && in.GetWithActorId() != e.Actor {
			return nil
		}

		msg, err := e.Proto()
		if err != nil {
			return err
		}

		return stream.Send(msg)
	})
}
