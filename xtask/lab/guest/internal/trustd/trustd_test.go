// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package trustd

import (
	"testing"

	talosx509 "github.com/siderolabs/crypto/x509"
	"github.com/siderolabs/talos/pkg/machinery/api/security"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"lab.invalid/guest/internal/pki"
)

func TestOnlyTheTokenGetsACertificate(t *testing.T) {
	made, err := talosx509.NewSelfSignedCertificateAuthority(talosx509.RSA(false))
	if err != nil {
		t.Fatal(err)
	}

	ca, err := pki.NewAuthority(made.CrtPEM, made.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}

	csr, _, err := pki.NewCSR(pki.Request{CommonName: "w"})
	if err != nil {
		t.Fatal(err)
	}

	s := &server{ca: ca, token: "right"}

	for token, want := range map[string]codes.Code{"right": codes.OK, "wrong": codes.Unauthenticated, "": codes.Unauthenticated} {
		ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("token", token))

		resp, err := s.Certificate(ctx, &security.CertificateRequest{Csr: csr})
		if status.Code(err) != want || (want == codes.OK) != (len(resp.GetCrt()) > 0) {
			t.Errorf("%q: %v", token, err)
		}
	}

	if _, err = s.Certificate(t.Context(), &security.CertificateRequest{Csr: csr}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a token: %v", err)
	}
}
