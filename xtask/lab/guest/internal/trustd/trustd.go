// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Package trustd hands workers their certificate: the server on control planes (port 50001) and the client.
// Imitates internal/app/trustd and internal/app/machined/pkg/controllers/secrets/api.go.
//
// It must not sign for anyone who does not show the cluster's machine token.
package trustd

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/security"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"lab.invalid/guest/internal/pki"
)

// Settings come from machined on stdin.
type Settings struct {
	CA, CAKey []byte
	Server    pki.Pair
	Token     string
}

type server struct {
	security.UnimplementedSecurityServiceServer

	ca    *pki.Authority
	token string
}

// Certificate signs a worker's request.
func (s *server) Certificate(ctx context.Context, in *security.CertificateRequest) (*security.CertificateResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)

	token := md.Get("token")
	if len(token) != 1 || subtle.ConstantTimeCompare([]byte(token[0]), []byte(s.token)) != 1 {
		return nil, status.Error(codes.Unauthenticated, "token is invalid")
	}

	crt, err := s.ca.SignRequest(in.GetCsr())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}

	log.Printf("signed a certificate request")

	return &security.CertificateResponse{Ca: s.ca.CertPEM, Crt: crt}, nil
}

// Run serves until ctx ends.
func Run(ctx context.Context, stdin io.Reader) error {
	var settings Settings

	if err := json.NewDecoder(stdin).Decode(&settings); err != nil {
		return fmt.Errorf("cannot read the settings: %w", err)
	}

	ca, err := pki.NewAuthority(settings.CA, settings.CAKey)
	if err != nil {
		return err
	}

	cert, err := settings.Server.TLS()
	if err != nil {
		return err
	}

	srv := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13})))
	security.RegisterSecurityServiceServer(srv, &server{ca: ca, token: settings.Token})

	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", constants.TrustdPort))
	if err != nil {
		return err
	}

	go func() {
		<-ctx.Done()
		srv.Stop()
	}()

	log.Printf("trustd serves on %s", listener.Addr())

	return srv.Serve(listener)
}

// Fetch asks one control plane for a server certificate.
func Fetch(ctx context.Context, address netip.Addr, ca *pki.Authority, token string, r pki.Request) (pki.Pair, error) {
	csr, key, err := pki.NewCSR(r)
	if err != nil {
		return pki.Pair{}, err
	}

	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()

	conn, err := grpc.NewClient("passthrough:///"+net.JoinHostPort(address.String(), strconv.Itoa(constants.TrustdPort)),
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS13})))
	if err != nil {
		return pki.Pair{}, err
	}
	defer conn.Close() //nolint:errcheck

	resp, err := security.NewSecurityServiceClient(conn).Certificate(
		metadata.AppendToOutgoingContext(ctx, "token", token), &security.CertificateRequest{Csr: csr})
	if err != nil {
		return pki.Pair{}, err
	}

	return pki.Pair{Cert: resp.GetCrt(), Key: key}, nil
}

// ServerUsage is what both certificates of a node are for.
var ServerUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
