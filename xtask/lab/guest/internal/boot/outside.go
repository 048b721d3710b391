// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package boot

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/http/httpproxy"
)

// requestsFile is what `machine.files` of a test may contain: one request a line, made once the node runs.
//
//	wait N REQUEST       before services start, as Talos' services wait for the time: until it succeeds, or N attempts (0: any number)
//	get URL              by the proxy of machine.env, with the roots of TrustedRootsConfig
//	connect HOST:PORT    a TLS connection that stays open, as that to the discovery service does
//	ntp HOST             one query over UDP
//	nts HOST             a connection to port 4460
//	dns SERVER NAME      one question to that server
//	pull IMAGE           its manifest, by the mirrors of the machine config
const requestsFile = "/var/lab/requests"

const (
	perRequest = 5 * time.Second
	// betweenAttempts of a request that is waited for.
	betweenAttempts = 2 * time.Second
)

// askOutside fetches the extra manifests, as Talos' k8s.ExtraManifestController does on control planes, and makes the requests
// of the file.
func (m *Machine) askOutside(ctx context.Context) {
	if m.ControlPlane() {
		for _, manifest := range m.Config().Cluster().ExtraManifestURLs() {
			m.fetchManifest(ctx, manifest)
		}
	}

	for _, words := range requests() {
		if words[0] != wait {
			m.logged(ctx, words)
		}
	}
}

// waitOutside makes the requests that the boot waits for.
func (m *Machine) waitOutside(ctx context.Context) error {
	for _, words := range requests() {
		if words[0] != wait || len(words) < 4 {
			continue
		}

		most, err := strconv.Atoi(words[1])
		if err != nil {
			return err
		}

		for n := 1; m.logged(ctx, words[2:]) != nil && n != most; n++ {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(betweenAttempts):
			}
		}
	}

	return nil
}

const wait = "wait"

// requests are the words of each line of the file.
func requests() [][]string {
	content, err := os.ReadFile(requestsFile)
	if err != nil {
		return nil
	}

	var all [][]string

	for line := range strings.Lines(string(content)) {
		if words := strings.Fields(line); len(words) > 1 {
			all = append(all, words)
		}
	}

	return all
}

func (m *Machine) logged(ctx context.Context, words []string) error {
	err := m.ask(ctx, words[0], words[1:])
	m.logger.Info("request", zap.Strings("words", words), zap.Error(err))

	return err
}

// fetchManifest: the first attempt of Talos may come before the roots of the config are in place, so one is made without.
func (m *Machine) fetchManifest(ctx context.Context, manifest string) {
	const controller = "k8s.ExtraManifestController"

	for _, roots := range []*x509.CertPool{x509.NewCertPool(), m.trustedRoots()} {
		status, err := m.get(ctx, manifest, roots)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("bad response code: %d", status)
		}

		if err == nil {
			m.logger.Info(fmt.Sprintf("downloaded manifest %q", manifest), zap.String("controller", controller))

			return
		}

		m.logger.Error("controller failed", zap.String("controller", controller), zap.Error(fmt.Errorf("error downloading %q: %w", manifest, err)))
	}
}

func (m *Machine) trustedRoots() *x509.CertPool {
	pool := x509.NewCertPool()

	if roots := m.Config().TrustedRoots(); roots != nil {
		for _, pem := range roots.ExtraTrustedRootCertificates() {
			pool.AppendCertsFromPEM([]byte(pem))
		}
	}

	return pool
}

func (m *Machine) proxyFor(target *url.URL) (*url.URL, error) {
	env := map[string]string{}
	maps.Copy(env, m.Config().Machine().Env())

	// A document of its own since 1.13.
	if config := m.Config().Environment(); config != nil {
		maps.Copy(env, config.Variables())
	}

	proxy := httpproxy.Config{HTTPProxy: env["http_proxy"], HTTPSProxy: env["https_proxy"], NoProxy: env["no_proxy"]}

	return proxy.ProxyFunc()(target)
}

// client goes by the proxy of the config, and keeps no connection.
func (m *Machine) client(roots *x509.CertPool) *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy:             func(r *http.Request) (*url.URL, error) { return m.proxyFor(r.URL) },
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		DisableKeepAlives: true,
	}}
}

func (m *Machine) get(ctx context.Context, target string, roots *x509.CertPool) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, perRequest)
	defer cancel()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return 0, err
	}

	resp, err := m.client(roots).Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close() //nolint:errcheck

	_, err = io.Copy(io.Discard, resp.Body)

	return resp.StatusCode, err
}

func (m *Machine) ask(ctx context.Context, what string, words []string) error {
	switch what {
	case "get":
		status, err := m.get(ctx, words[0], m.trustedRoots())
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d", status)
		}

		return err
	case "connect":
		return m.connect(ctx, words[0])
	case "ntp":
		// Version 4, client.
		return query(ctx, net.JoinHostPort(words[0], "123"), append([]byte{0x23}, make([]byte, 47)...))
	case "nts":
		conn, err := (&net.Dialer{Timeout: perRequest}).DialContext(ctx, "tcp", net.JoinHostPort(words[0], "4460"))
		if err != nil {
			return err
		}

		return conn.Close()
	case "dns":
		if len(words) != 2 {
			return errors.New("a server and a name are needed")
		}

		return query(ctx, net.JoinHostPort(words[0], "53"), question(words[1]))
	case "pull":
		_, err := m.Resolve(ctx, words[0])

		return err
	default:
		return fmt.Errorf("unknown request %q", what)
	}
}

// connect opens a tunnel, or a direct connection without a proxy, and leaves it open.
func (m *Machine) connect(ctx context.Context, target string) error {
	host, _, err := net.SplitHostPort(target)
	if err != nil {
		return err
	}

	proxy, err := m.proxyFor(&url.URL{Scheme: "https", Host: target})
	if err != nil {
		return err
	}

	dialer := net.Dialer{Timeout: perRequest}
	address := target

	if proxy != nil {
		address = proxy.Host
	}

	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}

	conn.SetDeadline(time.Now().Add(perRequest)) //nolint:errcheck

	if proxy != nil {
		if proxy.Scheme == "https" {
			conn = tls.Client(conn, &tls.Config{RootCAs: m.trustedRoots(), ServerName: proxy.Hostname()})
		}

		if err = m.tunnel(conn, target); err != nil {
			return errors.Join(err, conn.Close())
		}
	}

	// The handshake may fail: the connection is what is asked for.
	err = tls.Client(conn, &tls.Config{RootCAs: m.trustedRoots(), ServerName: host}).HandshakeContext(ctx)
	conn.SetDeadline(time.Time{}) //nolint:errcheck
	m.keep(conn)

	return err
}

func (m *Machine) tunnel(conn net.Conn, target string) error {
	if _, err := fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, target); err != nil {
		return err
	}

	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
	if err != nil {
		return err
	}

	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}

	return nil
}

// keep holds a connection until the machine ends.
func (m *Machine) keep(conn net.Conn) { m.kept = append(m.kept, conn) }

// query sends one datagram and waits for an answer.
func query(ctx context.Context, address string, packet []byte) error {
	conn, err := (&net.Dialer{Timeout: perRequest}).DialContext(ctx, "udp", address)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck

	conn.SetDeadline(time.Now().Add(perRequest)) //nolint:errcheck

	if _, err = conn.Write(packet); err != nil {
		return err
	}

	_, err = conn.Read(make([]byte, 512))

	return err
}

// question asks for the A records of a name.
func question(name string) []byte {
	packet := binary.BigEndian.AppendUint16(nil, 7)
	packet = append(packet, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0)

	for _, label := range strings.Split(name, ".") {
		packet = append(append(packet, byte(len(label))), label...)
	}

	return append(packet, 0, 0, 1, 0, 1)
}
