// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package machined

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/hex"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"lab.invalid/guest/internal/events"
	"lab.invalid/guest/internal/kube"
	"lab.invalid/guest/internal/pki"
)

// actor marks an action; its events carry the id that the caller receives.
func actor() (context.Context, string) {
	raw := make([]byte, 16)
	rand.Read(raw) //nolint:errcheck

	id := hex.EncodeToString(raw)

	return events.WithActor(context.Background(), id), id
}

// Reboot starts the reboot sequence and answers at once.
func (s *Server) Reboot(_ context.Context, in *machine.RebootRequest) (*machine.RebootResponse, error) {
	ctx, id := actor()

	go s.n.Actions.Reboot(ctx, in)

	return &machine.RebootResponse{Messages: []*machine.Reboot{{ActorId: id}}}, nil
}

// Shutdown starts the shutdown sequence and answers at once.
func (s *Server) Shutdown(_ context.Context, in *machine.ShutdownRequest) (*machine.ShutdownResponse, error) {
	ctx, id := actor()

	go s.n.Actions.Shutdown(ctx, in)

	return &machine.ShutdownResponse{Messages: []*machine.Shutdown{{ActorId: id}}}, nil
}

// Bootstrap makes this node the first member of etcd.
func (s *Server) Bootstrap(context.Context, *machine.BootstrapRequest) (*machine.BootstrapResponse, error) {
	if !s.n.ControlPlane() {
		return nil, status.Error(codes.FailedPrecondition, "bootstrap can only be performed on a control plane node")
	}

	if s.n.Peers.Bootstrapped() {
		return nil, status.Error(codes.AlreadyExists, "etcd data directory is not empty")
	}

	if err := s.n.Actions.Bootstrap(); err != nil {
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}

	return &machine.BootstrapResponse{Messages: []*machine.Bootstrap{{}}}, nil
}

// ApplyConfiguration takes a new machine config.
func (s *Server) ApplyConfiguration(ctx context.Context, in *machine.ApplyConfigurationRequest) (*machine.ApplyConfigurationResponse, error) {
	msg, err := s.n.Actions.Apply(ctx, in)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}

	return &machine.ApplyConfigurationResponse{Messages: []*machine.ApplyConfiguration{msg}}, nil
}

// EtcdMemberList lists the control planes that have joined.
func (s *Server) EtcdMemberList(context.Context, *machine.EtcdMemberListRequest) (*machine.EtcdMemberListResponse, error) {
	if !s.n.ControlPlane() {
		return nil, status.Error(codes.Unimplemented, "member list is only available on control plane nodes")
	}

	reply := &machine.EtcdMembers{}

	for _, m := range kube.EtcdMembers(s.n.Peers) {
		reply.LegacyMembers = append(reply.LegacyMembers, m.Hostname)
		reply.Members = append(reply.Members, &machine.EtcdMember{
			Id: kube.EtcdID(m), Hostname: m.Hostname,
			PeerUrls: []string{"https://" + m.Address.String() + ":2380"}, ClientUrls: []string{"https://" + m.Address.String() + ":2379"},
		})
	}

	return &machine.EtcdMemberListResponse{Messages: []*machine.EtcdMembers{reply}}, nil
}

// Kubeconfig streams a tar.gz with one file.
func (s *Server) Kubeconfig(_ *emptypb.Empty, stream dataStream) error {
	if !s.n.ControlPlane() {
		return status.Error(codes.Unimplemented, "kubeconfig is only available on control plane nodes")
	}

	issuer := s.n.Config().Cluster().IssuingCA()

	ca, err := pki.NewAuthority(issuer.Crt, issuer.Key)
	if err != nil {
		return err
	}

	content, err := kube.Kubeconfig(ca, s.n.Config().Cluster().Name(), s.n.Config().Cluster().Endpoint())
	if err != nil {
		return err
	}

	var out bytes.Buffer

	z := gzip.NewWriter(&out)
	t := tar.NewWriter(z)

	if err = t.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: "kubeconfig", Size: int64(len(content)), ModTime: time.Now(), Mode: 0o600,
	}); err != nil {
		return err
	}

	if _, err = t.Write(content); err != nil {
		return err
	}

	if err = t.Close(); err != nil {
		return err
	}

	if err = z.Close(); err != nil {
		return err
	}

	return send(stream, out.Bytes())
}
