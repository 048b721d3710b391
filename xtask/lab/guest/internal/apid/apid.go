// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Package apid is the API's front door: it terminates TLS on port 50000 and hands each call to machined of this node or to apid
// of the nodes that the call names. Imitates internal/app/apid.
//
// It must not understand the calls: it sees method names, metadata and bytes.
package apid

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/siderolabs/grpc-proxy/proxy"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"lab.invalid/guest/internal/pki"
)

// Settings come from machined on stdin: private keys touch no file.
type Settings struct {
	CA     []byte
	Server pki.Pair
	// Client is what this apid shows to other nodes'. Workers have none and forward nothing.
	Client *pki.Pair
	Local  []netip.Addr
	Names  []string
}

// Streams are the methods whose replies come as a stream; the proxy has to know (internal/app/apid/main.go).
var streams = []string{
	"Copy", "DiskUsage", "Dmesg", "EtcdSnapshot", "Events", "ImageList", "Kubeconfig", "List", "Logs", "PacketCapture", "Read",
}

func streamed(method string) bool {
	service, name, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")

	return strings.HasSuffix(name, "Stream") || (service == "machine.MachineService" && slices.Contains(streams, name)) ||
		method == "/cluster.ClusterService/HealthCheck"
}

type router struct {
	settings  Settings
	clientTLS *tls.Config
	machined  *backend

	mu      sync.Mutex
	remotes map[string]*backend
}

// Run serves until ctx ends, then lets go of every connection so that clients see the end at once.
func Run(ctx context.Context, stdin io.Reader) error {
	var r router

	if err := json.NewDecoder(stdin).Decode(&r.settings); err != nil {
		return fmt.Errorf("cannot read the settings: %w", err)
	}

	serverTLS, err := r.setup()
	if err != nil {
		return err
	}

	server := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(serverTLS)),
		grpc.ForceServerCodecV2(proxy.Codec()),
		grpc.UnknownServiceHandler(proxy.TransparentHandler(r.direct, proxy.WithStreamedDetector(streamed))),
		grpc.MaxRecvMsgSize(constants.GRPCMaxMessageSize),
	)

	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", constants.ApidPort))
	if err != nil {
		return err
	}

	go func() {
		<-ctx.Done()

		// Idle connections would delay a graceful stop without a limit, and calls that follow logs have no end.
		timer := time.AfterFunc(time.Second, server.Stop)
		defer timer.Stop()

		server.GracefulStop()
	}()

	log.Printf("apid serves on %s", listener.Addr())

	return server.Serve(listener)
}

func (r *router) setup() (*tls.Config, error) {
	ca, err := pki.NewAuthority(r.settings.CA, nil)
	if err != nil {
		return nil, err
	}

	serverCert, err := r.settings.Server.TLS()
	if err != nil {
		return nil, err
	}

	r.remotes = map[string]*backend{}
	r.machined = &backend{target: "machined", dial: func() (*grpc.ClientConn, error) { return dialMachined() }}

	if r.settings.Client != nil {
		clientCert, err := r.settings.Client.TLS()
		if err != nil {
			return nil, err
		}

		r.clientTLS = &tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{clientCert}, MinVersion: tls.VersionTLS13}
	}

	return &tls.Config{
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool(), Certificates: []tls.Certificate{serverCert},
		MinVersion: tls.VersionTLS13, VerifyPeerCertificate: onlyClients,
	}, nil
}

// A server's certificate of the same CA must not open this door (internal/app/apid/main.go, verifyExtKeyUsage).
func onlyClients(_ [][]byte, chains [][]*x509.Certificate) error {
	if len(chains) == 0 || len(chains[0]) == 0 {
		return errors.New("no verified chains")
	}

	if usage := chains[0][0].ExtKeyUsage; len(usage) != 1 || usage[0] != x509.ExtKeyUsageClientAuth {
		return errors.New("certificate is not a client's")
	}

	return nil
}

// direct decides where a call goes (internal/app/apid/pkg/director/director.go).
func (r *router) direct(ctx context.Context, method string) (proxy.Mode, []proxy.Backend, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	nodes, node := md.Get("nodes"), md.Get("node")

	if r.clientTLS == nil {
		// One target that is this node needs no forwarding.
		if len(node) == 1 && r.local(node[0]) {
			node = nil
		}

		if len(nodes) == 1 && r.local(nodes[0]) {
			nodes = nil
		}
	}

	switch {
	case len(md.Get("proxyfrom")) > 0 || len(nodes)+len(node) == 0:
		return proxy.One2One, []proxy.Backend{r.machined}, nil
	case len(node) > 1:
		return proxy.One2One, nil, status.Error(codes.InvalidArgument, "node metadata must be single-valued")
	case len(nodes) > 0 && strings.HasPrefix(method, "/cosi."):
		return proxy.One2One, nil, status.Error(codes.InvalidArgument, "one-2-many proxying is not supported for COSI methods")
	case r.clientTLS == nil:
		return proxy.One2One, nil, status.Error(codes.PermissionDenied, "no request forwarding")
	case len(nodes) > 0:
		backends := make([]proxy.Backend, len(nodes))
		for i, n := range nodes {
			backends[i] = r.remote(n)
		}

		return proxy.One2Many, backends, nil
	default:
		return proxy.One2One, []proxy.Backend{r.remote(node[0])}, nil
	}
}

func (r *router) local(target string) bool {
	if addr, err := netip.ParseAddr(target); err == nil {
		return slices.Contains(r.settings.Local, addr)
	}

	return slices.Contains(r.settings.Names, target)
}

func (r *router) remote(target string) *backend {
	r.mu.Lock()
	defer r.mu.Unlock()

	b := r.remotes[target]
	if b == nil {
		b = &backend{target: target, dial: func() (*grpc.ClientConn, error) { return dialNode(target, r.clientTLS) }}
		r.remotes[target] = b
	}

	return b
}
