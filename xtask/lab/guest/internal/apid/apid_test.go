// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package apid

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"testing"

	"github.com/siderolabs/grpc-proxy/proxy"
	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

func newRouter(worker bool) *router {
	r := &router{
		settings: Settings{Local: []netip.Addr{netip.MustParseAddr("172.20.0.2")}, Names: []string{"cp"}},
		machined: &backend{target: "machined"}, remotes: map[string]*backend{},
	}
	if !worker {
		r.clientTLS = &tls.Config{MinVersion: tls.VersionTLS13}
	}

	return r
}

func TestDirector(t *testing.T) {
	const version, cosi = "/machine.MachineService/Version", "/cosi.resource.State/List"

	for _, c := range []struct {
		name    string
		worker  bool
		method  string
		md      []string
		mode    proxy.Mode
		targets []string
		code    codes.Code
	}{
		{name: "no target", method: version, targets: []string{"machined"}},
		{name: "already proxied", method: version, md: []string{"proxyfrom", "x", "nodes", "a"}, targets: []string{"machined"}},
		{name: "nodes", method: version, md: []string{"nodes", "a", "nodes", "b"}, mode: proxy.One2Many, targets: []string{"a", "b"}},
		{name: "itself as one of nodes still hops", method: version, md: []string{"nodes", "172.20.0.2"}, mode: proxy.One2Many, targets: []string{"172.20.0.2"}},
		{name: "node", method: cosi, md: []string{"node", "a"}, targets: []string{"a"}},
		{name: "two of node", method: cosi, md: []string{"node", "a", "node", "b"}, code: codes.InvalidArgument},
		{name: "cosi with nodes", method: cosi, md: []string{"nodes", "a"}, code: codes.InvalidArgument},
		{name: "worker, itself", worker: true, method: version, md: []string{"nodes", "172.20.0.2"}, targets: []string{"machined"}},
		{name: "worker, itself by name", worker: true, method: cosi, md: []string{"node", "cp"}, targets: []string{"machined"}},
		{name: "worker, another", worker: true, method: version, md: []string{"nodes", "a"}, code: codes.PermissionDenied},
	} {
		ctx := metadata.NewIncomingContext(context.Background(), metadata.Pairs(c.md...))

		mode, backends, err := newRouter(c.worker).direct(ctx, c.method)
		if status.Code(err) != c.code || mode != c.mode && err == nil {
			t.Errorf("%s: mode %v, %v", c.name, mode, err)

			continue
		}

		var targets []string
		for _, b := range backends {
			targets = append(targets, b.String())
		}

		if len(targets) != len(c.targets) || (len(targets) > 0 && targets[0] != c.targets[0]) {
			t.Errorf("%s: targets %v, want %v", c.name, targets, c.targets)
		}
	}
}

func TestRepliesAreMarkedWithTheirNode(t *testing.T) {
	b := &backend{target: "172.20.0.3"}

	raw, err := proto.Marshal(&machine.HostnameResponse{Messages: []*machine.Hostname{{Hostname: "w"}}})
	if err != nil {
		t.Fatal(err)
	}

	raw, err = b.AppendInfo(false, raw)
	if err != nil {
		t.Fatal(err)
	}

	var reply machine.HostnameResponse
	if err = proto.Unmarshal(raw, &reply); err != nil || len(reply.GetMessages()) != 1 ||
		reply.GetMessages()[0].GetHostname() != "w" || reply.GetMessages()[0].GetMetadata().GetHostname() != "172.20.0.3" {
		t.Errorf("%v: %v", err, &reply)
	}

	raw, err = proto.Marshal(&common.Data{Bytes: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}

	raw, err = b.AppendInfo(true, raw)

	var data common.Data
	if err = errors.Join(err, proto.Unmarshal(raw, &data)); err != nil || string(data.GetBytes()) != "x" || data.GetMetadata().GetHostname() != "172.20.0.3" {
		t.Errorf("streamed: %v: %v", err, &data)
	}

	for _, bad := range []string{"", "\x12\x01x", "\x0a\x7f", "\x80"} {
		if _, err = b.AppendInfo(false, []byte(bad)); err == nil {
			t.Errorf("%q was taken for a reply", bad)
		}
	}
}

func TestErrorsBecomeReplies(t *testing.T) {
	raw, err := (&backend{target: "x"}).BuildError(false, status.Error(codes.Unavailable, "down"))
	if err != nil {
		t.Fatal(err)
	}

	var reply machine.VersionResponse
	if err = proto.Unmarshal(raw, &reply); err != nil || reply.GetMessages()[0].GetMetadata().GetHostname() != "x" ||
		codes.Code(reply.GetMessages()[0].GetMetadata().GetStatus().GetCode()) != codes.Unavailable {
		t.Errorf("%v: %v", err, &reply)
	}
}

func TestStreamed(t *testing.T) {
	for method, want := range map[string]bool{
		"/machine.MachineService/Logs": true, "/machine.MachineService/Version": false, "/storage.StorageService/BlockDeviceWipeStream": true,
		"/cluster.ClusterService/HealthCheck": true, "/cosi.resource.State/List": false,
	} {
		if streamed(method) != want {
			t.Errorf("%s: %v", method, !want)
		}
	}
}

func TestOnlyClientCertificatesEnter(t *testing.T) {
	chain := func(usage ...x509.ExtKeyUsage) [][]*x509.Certificate {
		return [][]*x509.Certificate{{{ExtKeyUsage: usage}}}
	}

	if err := onlyClients(nil, chain(x509.ExtKeyUsageClientAuth)); err != nil {
		t.Error(err)
	}

	for _, bad := range [][][]*x509.Certificate{nil, chain(), chain(x509.ExtKeyUsageServerAuth), chain(x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth)} {
		if onlyClients(nil, bad) == nil {
			t.Errorf("%v was let in", bad)
		}
	}
}
