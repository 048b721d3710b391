// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Package machined serves the machine API behind apid: machine.MachineService, cosi.resource.State and cluster.ClusterService on
// a unix socket. Imitates internal/app/machined/internal/server/v1alpha1.
//
// It must not invent: an answer comes from the kernel, from files, or from the node's own parts, and a call that the stand-in
// has nothing behind is left Unimplemented.
package machined

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"runtime"

	"github.com/cosi-project/runtime/api/v1alpha1"
	cosiserver "github.com/cosi-project/runtime/pkg/state/protobuf/server"
	"github.com/siderolabs/talos/pkg/machinery/api/cluster"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"lab.invalid/guest/internal/node"
)

// Server answers for one node.
type Server struct {
	machine.UnimplementedMachineServiceServer

	n *node.Node
}

// Run serves on the socket until ctx ends.
func Run(ctx context.Context, n *node.Node, up func()) error {
	if err := os.MkdirAll(filepath.Dir(constants.MachineSocketPath), 0o750); err != nil {
		return err
	}

	os.Remove(constants.MachineSocketPath) //nolint:errcheck

	listener, err := net.Listen("unix", constants.MachineSocketPath)
	if err != nil {
		return err
	}

	srv := grpc.NewServer(
		grpc.UnaryInterceptor(authorizeUnary), grpc.StreamInterceptor(authorizeStream), grpc.MaxRecvMsgSize(constants.GRPCMaxMessageSize),
	)
	machine.RegisterMachineServiceServer(srv, &Server{n: n})
	machine.RegisterLifecycleServiceServer(srv, &lifecycle{n: n})
	machine.RegisterImageServiceServer(srv, &images{n: n})
	v1alpha1.RegisterStateServer(srv, cosiserver.NewState(readOnly(n.State)))
	cluster.RegisterClusterServiceServer(srv, &health{n: n})

	go func() {
		<-ctx.Done()
		srv.Stop()
	}()

	up()

	return srv.Serve(listener)
}

// Version says what this is wherever the text is free; the tag is what talosctl compares with its own.
func (s *Server) Version(context.Context, *emptypb.Empty) (*machine.VersionResponse, error) {
	return &machine.VersionResponse{Messages: []*machine.Version{{
		Version: &machine.VersionInfo{
			Tag: s.n.Version(), Sha: "lab stand-in, not Talos", Built: "", GoVersion: runtime.Version(), Os: runtime.GOOS, Arch: runtime.GOARCH,
		},
		Platform: &machine.PlatformInfo{Name: "metal", Mode: "metal"},
		Features: &machine.FeaturesInfo{Rbac: true},
	}}}, nil
}

// Hostname as the kernel has it.
func (s *Server) Hostname(context.Context, *emptypb.Empty) (*machine.HostnameResponse, error) {
	return &machine.HostnameResponse{Messages: []*machine.Hostname{{Hostname: s.n.Hostname()}}}, nil
}
