// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package pki_test

import (
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"testing"
	"time"

	talosx509 "github.com/siderolabs/crypto/x509"

	"lab.invalid/guest/internal/pki"
)

// authority made by the library that makes Talos' machine CA, so its key's PEM type is what configs hold.
func authority(t *testing.T, options ...talosx509.Option) (full, certOnly *pki.Authority) {
	t.Helper()

	ca, err := talosx509.NewSelfSignedCertificateAuthority(append(options, talosx509.NotAfter(time.Now().Add(time.Hour)))...)
	if err != nil {
		t.Fatal(err)
	}

	if full, err = pki.NewAuthority(ca.CrtPEM, ca.KeyPEM); err != nil {
		t.Fatal(err)
	}

	if certOnly, err = pki.NewAuthority(ca.CrtPEM, nil); err != nil {
		t.Fatal(err)
	}

	return full, certOnly
}

func verify(t *testing.T, a *pki.Authority, certPEM []byte, name string, usage x509.ExtKeyUsage) error {
	t.Helper()

	block, _ := pem.Decode(certPEM)

	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}

	_, err = cert.Verify(x509.VerifyOptions{Roots: a.Pool(), DNSName: name, KeyUsages: []x509.ExtKeyUsage{usage}})

	return err
}

var request = pki.Request{
	CommonName: "cp", IPs: []netip.Addr{netip.MustParseAddr("172.20.0.2")}, Names: []string{"cp"}, Usage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
}

func TestIssue(t *testing.T) {
	for name, option := range map[string]talosx509.Option{"ed25519": talosx509.RSA(false), "ecdsa": talosx509.ECDSA(true), "rsa": talosx509.RSA(true)} {
		a, _ := authority(t, option)

		pair, err := a.Issue(request)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}

		if _, err = pair.TLS(); err != nil {
			t.Errorf("%s: %v", name, err)
		}

		for _, host := range []string{"cp", "172.20.0.2"} {
			if err = verify(t, a, pair.Cert, host, x509.ExtKeyUsageServerAuth); err != nil {
				t.Errorf("%s, %s: %v", name, host, err)
			}
		}

		if verify(t, a, pair.Cert, "cp", x509.ExtKeyUsageClientAuth) == nil {
			t.Errorf("%s: a server's certificate passes for a client's", name)
		}
	}
}

func TestSignRequest(t *testing.T) {
	a, worker := authority(t, talosx509.RSA(false))

	csr, key, err := pki.NewCSR(request)
	if err != nil {
		t.Fatal(err)
	}

	cert, err := a.SignRequest(csr)
	if err != nil {
		t.Fatal(err)
	}

	if err = verify(t, worker, cert, "172.20.0.2", x509.ExtKeyUsageServerAuth); err != nil {
		t.Error(err)
	}

	if _, err = (pki.Pair{Cert: cert, Key: key}).TLS(); err != nil {
		t.Error(err)
	}

	if _, err = worker.SignRequest(csr); err == nil {
		t.Error("a CA without its key has signed")
	}

	for _, bad := range []string{"", "text", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"} {
		if _, err = a.SignRequest([]byte(bad)); err == nil {
			t.Errorf("%q was signed", bad)
		}
	}
}
