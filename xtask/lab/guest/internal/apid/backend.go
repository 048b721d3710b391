// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package apid

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/siderolabs/grpc-proxy/proxy"
	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// RolesKey is the metadata in which roles travel from apid to apid and to machined (constants.APIAuthzRoleMetadataKey).
const RolesKey = constants.APIAuthzRoleMetadataKey

// backend is one place that calls go to: machined behind its socket, or another node's apid.
type backend struct {
	target string
	dial   func() (*grpc.ClientConn, error)

	mu   sync.Mutex
	conn *grpc.ClientConn
}

func dialMachined() (*grpc.ClientConn, error) {
	return grpc.NewClient("unix:"+constants.MachineSocketPath,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(proxy.Codec()), grpc.MaxCallRecvMsgSize(constants.GRPCMaxMessageSize)),
	)
}

// A node that is reset by its hypervisor says no goodbye. Keepalive finds out in about 6 s, so that the first call after such a
// reboot does not fail on a connection that only looks alive.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 2 * time.Second, Interval: time.Second, Count: 4}

func dialNode(target string, config *tls.Config) (*grpc.ClientConn, error) {
	dialer := &net.Dialer{KeepAliveConfig: keepAlive}
	retry := backoff.DefaultConfig
	retry.MaxDelay = 2 * time.Second

	return grpc.NewClient("passthrough:///"+net.JoinHostPort(target, strconv.Itoa(constants.ApidPort)),
		grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", addr) }),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: retry, MinConnectTimeout: 5 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(proxy.Codec()), grpc.MaxCallRecvMsgSize(constants.GRPCMaxMessageSize)),
	)
}

func (b *backend) String() string { return b.target }

// GetConnection passes the caller's metadata on, without what named the target and with the roles of the caller.
func (b *backend) GetConnection(ctx context.Context, _ string) (context.Context, *grpc.ClientConn, error) {
	in, _ := metadata.FromIncomingContext(ctx)
	out := in.Copy()

	from := "unknown"
	if authority := in.Get(":authority"); len(authority) > 0 {
		from = authority[0]
	}

	out.Set("proxyfrom", from)
	out.Set(RolesKey, callerRoles(ctx, in)...)

	for _, key := range []string{":authority", "nodes", "node"} {
		delete(out, key)
	}

	b.mu.Lock()
	defer b.mu.Unlock()

	if b.conn == nil {
		conn, err := b.dial()
		if err != nil {
			return ctx, nil, err
		}

		b.conn = conn
	}

	return metadata.NewOutgoingContext(ctx, out), b.conn, nil
}

// callerRoles are the organizations of the client's certificate, or, if that is another apid's, the roles that it vouches for
// (pkg/grpc/middleware/authz/injector.go).
func callerRoles(ctx context.Context, md metadata.MD) []string {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}

	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return nil
	}

	roles := info.State.PeerCertificates[0].Subject.Organization
	if vouched := md.Get(RolesKey); slices.Contains(roles, string(role.Impersonator)) && len(vouched) > 0 {
		return vouched
	}

	return roles
}

// AppendInfo puts the target, as the user typed it, into the reply's metadata. Every reply of one node is a message whose field 1
// holds the actual reply, and that one's field 1 is the metadata, unset so far: so it can be appended to the inner bytes and the
// outer length written again, without knowing the type. Streamed replies have no outer message.
func (b *backend) AppendInfo(streaming bool, resp []byte) ([]byte, error) {
	if b.target == "machined" {
		return resp, nil
	}

	info, err := proto.Marshal(&common.Empty{Metadata: &common.Metadata{Hostname: b.target}})
	if err != nil || streaming {
		return append(resp, info...), err
	}

	number, wireType, n := protowire.ConsumeTag(resp)
	if n < 0 || number != 1 || wireType != protowire.BytesType {
		return nil, errors.New("unexpected message format")
	}

	inner, m := protowire.ConsumeBytes(resp[n:])
	if m < 0 {
		return nil, protowire.ParseError(m)
	}

	out := protowire.AppendTag(nil, 1, protowire.BytesType)
	out = protowire.AppendBytes(out, append(slices.Clone(inner), info...))

	return append(out, resp[n+m:]...), nil
}

// BuildError turns the failure of one node into that node's reply, so that the other nodes' replies still arrive.
func (b *backend) BuildError(streaming bool, failure error) ([]byte, error) {
	reply := &common.Empty{Metadata: &common.Metadata{Hostname: b.target, Error: failure.Error(), Status: status.Convert(failure).Proto()}}
	if streaming {
		return proto.Marshal(reply)
	}

	return proto.Marshal(&common.EmptyResponse{Messages: []*common.Empty{reply}})
}
