// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package machined

import (
	"context"
	"fmt"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// ServiceList lists the services with their histories.
func (s *Server) ServiceList(context.Context, *emptypb.Empty) (*machine.ServiceListResponse, error) {
	return &machine.ServiceListResponse{Messages: []*machine.ServiceList{{Services: s.n.Services.List()}}}, nil
}

func (s *Server) controllable(id, verb string) error {
	defined, allowed := s.n.Services.Allowed(id)

	switch {
	case !defined:
		return status.Errorf(codes.NotFound, "service %q not defined", id)
	case !allowed:
		return status.Errorf(codes.FailedPrecondition, "service %q doesn't support %s operation via API", id, verb)
	}

	return nil
}

// ServiceStart starts a service.
func (s *Server) ServiceStart(_ context.Context, in *machine.ServiceStartRequest) (*machine.ServiceStartResponse, error) {
	if err := s.controllable(in.GetId(), "start"); err != nil {
		return nil, err
	}

	if err := s.n.Services.Start(in.GetId()); err != nil {
		return nil, err
	}

	return &machine.ServiceStartResponse{Messages: []*machine.ServiceStart{{Resp: fmt.Sprintf("Service %q started", in.GetId())}}}, nil
}

// ServiceStop stops a service.
func (s *Server) ServiceStop(ctx context.Context, in *machine.ServiceStopRequest) (*machine.ServiceStopResponse, error) {
	if err := s.controllable(in.GetId(), "stop"); err != nil {
		return nil, err
	}

	if err := s.n.Services.Stop(ctx, in.GetId()); err != nil {
		return nil, err
	}

	return &machine.ServiceStopResponse{Messages: []*machine.ServiceStop{{Resp: fmt.Sprintf("Service %q stopped", in.GetId())}}}, nil
}

// ServiceRestart stops and starts a service.
func (s *Server) ServiceRestart(ctx context.Context, in *machine.ServiceRestartRequest) (*machine.ServiceRestartResponse, error) {
	if err := s.controllable(in.GetId(), "restart"); err != nil {
		return nil, err
	}

	if err := s.n.Services.Stop(ctx, in.GetId()); err != nil {
		return nil, err
	}

	if err := s.n.Services.Start(in.GetId()); err != nil {
		return nil, err
	}

	return &machine.ServiceRestartResponse{Messages: []*machine.ServiceRestart{{Resp: fmt.Sprintf("Service %q restarted", in.GetId())}}}, nil
}
