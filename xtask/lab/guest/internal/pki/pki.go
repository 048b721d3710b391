// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Package pki issues certificates from the authorities that a machine config carries.
//
// It must not keep state or touch files: what it makes lives as long as the process that asked for it.
package pki

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"time"
)

// Authority is a CA. Without a key it can only verify.
type Authority struct {
	CertPEM []byte
	cert    *x509.Certificate
	key     any
}

// Pair is a certificate with its key, as PEM: JSON and gRPC carry it as it is.
type Pair struct {
	Cert []byte `json:"cert"`
	Key  []byte `json:"key"`
}

// TLS parses the pair.
func (p Pair) TLS() (tls.Certificate, error) { return tls.X509KeyPair(p.Cert, p.Key) }

// NewAuthority parses a CA; key may be empty.
func NewAuthority(cert, key []byte) (*Authority, error) {
	block, _ := pem.Decode(cert)
	if block == nil {
		return nil, errors.New("the CA certificate is not PEM")
	}

	parsed, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}

	a := &Authority{CertPEM: cert, cert: parsed}

	if len(key) > 0 {
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("the CA key does not fit: %w", err)
		}

		a.key = pair.PrivateKey
	}

	return a, nil
}

// Pool holds this CA alone.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)

	return pool
}

// Request says what a certificate is for.
type Request struct {
	CommonName   string
	Organization []string
	IPs          []netip.Addr
	Names        []string
	Usage        []x509.ExtKeyUsage
}

const validity = 24 * time.Hour

// Issue makes an Ed25519 key and a certificate for it.
func (a *Authority) Issue(r Request) (Pair, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Pair{}, err
	}

	keyPEM, err := encodeKey(private)
	if err != nil {
		return Pair{}, err
	}

	cert, err := a.sign(template(r), public)

	return Pair{Cert: cert, Key: keyPEM}, err
}

// SignRequest signs a PEM certificate request for serving, as trustd does (internal/app/trustd/internal/reg/reg.go).
func (a *Authority) SignRequest(csrPEM []byte) ([]byte, error) {
	block, _ := pem.Decode(csrPEM)
	if block == nil {
		return nil, errors.New("the certificate request is not PEM")
	}

	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}

	if err = csr.CheckSignature(); err != nil {
		return nil, err
	}

	t := template(Request{CommonName: csr.Subject.CommonName, Names: csr.DNSNames, Usage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	t.IPAddresses = csr.IPAddresses

	return a.sign(t, csr.PublicKey)
}

// NewCSR makes a key and a request for a server certificate.
func NewCSR(r Request) (csrPEM, keyPEM []byte, err error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}

	if keyPEM, err = encodeKey(private); err != nil {
		return nil, nil, err
	}

	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: r.CommonName}, DNSNames: r.Names, IPAddresses: toIPs(r.IPs),
	}, private)

	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), keyPEM, err
}

func encodeKey(key ed25519.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)

	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

func toIPs(addrs []netip.Addr) []net.IP {
	var ips []net.IP
	for _, a := range addrs {
		ips = append(ips, a.AsSlice())
	}

	return ips
}

func template(r Request) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))

	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: r.CommonName, Organization: r.Organization},
		NotBefore:    time.Now().Add(-5 * time.Minute),
		NotAfter:     time.Now().Add(validity),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  r.Usage,
		DNSNames:     r.Names,
		IPAddresses:  toIPs(r.IPs),
	}
}

func (a *Authority) sign(t *x509.Certificate, public any) ([]byte, error) {
	if a.key == nil {
		return nil, errors.New("this node does not have the CA's key")
	}

	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, public, a.key)

	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), err
}
