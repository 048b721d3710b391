// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package peers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"lab.invalid/guest/internal/pki"
)

// Path on the port of the Kubernetes stand-in: the only port of a control plane whose way is in every machine config
// (cluster.controlPlane.endpoint, the load balancer on the bridge).
const Path = "/lab/v1/members"

// maxWord bounds what is read from others.
const maxWord = 1 << 20

const (
	interval = 4 * time.Second
	// Until another control plane is known, and for a minute at most: a cluster of one control plane has no other.
	eagerInterval = 500 * time.Millisecond
	eagerRounds   = 120
)

// Gossip talks to the control planes.
type Gossip struct {
	View     *View
	CA       *pki.Authority
	Endpoint *url.URL
	Token    string
	Port     int
}

func (g *Gossip) bearer() string {
	sum := sha256.Sum256([]byte("lab members " + g.Token))

	return "Bearer " + hex.EncodeToString(sum[:])
}

// ServeHTTP answers a node that tells about itself.
func (g *Gossip) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte(g.bearer())) != 1 {
		http.Error(w, "not a node of this cluster", http.StatusUnauthorized)

		return
	}

	var word Word

	if err := json.NewDecoder(io.LimitReader(r.Body, maxWord)).Decode(&word); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)

		return
	}

	g.View.Hear(word)
	json.NewEncoder(w).Encode(g.View.Say()) //nolint:errcheck
}

// Run tells the control planes about this node until ctx ends: at every change, and every few seconds.
func (g *Gossip) Run(ctx context.Context) {
	client := &http.Client{
		Timeout:   3 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: g.CA.Pool(), MinVersion: tls.VersionTLS12}},
	}
	defer client.CloseIdleConnections()

	for round := 0; ctx.Err() == nil; round++ {
		changed := g.View.Changed()
		wait := interval

		targets := []string{}
		for _, addr := range g.View.ControlPlanes() {
			targets = append(targets, net.JoinHostPort(addr.String(), strconv.Itoa(g.Port)))
		}

		if len(targets) == 0 && g.Endpoint != nil {
			targets = append(targets, g.Endpoint.Host)

			if round < eagerRounds {
				wait = eagerInterval
			}
		}

		for _, target := range targets {
			g.tell(ctx, client, target) //nolint:errcheck // the next round is the answer to every failure
		}

		select {
		case <-ctx.Done():
		case <-changed:
			// Several things change together at boot; one message is enough for them.
			time.Sleep(50 * time.Millisecond)
		case <-time.After(wait):
		}
	}
}

func (g *Gossip) tell(ctx context.Context, client *http.Client, host string) error {
	body, err := json.Marshal(g.View.Say())
	if err != nil {
		return err
	}

	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+host+Path, bytes.NewReader(body))
	if err != nil {
		return err
	}

	req.Header.Set("Authorization", g.bearer())

	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck

	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", host, resp.Status)
	}

	var word Word

	if err = json.NewDecoder(io.LimitReader(resp.Body, maxWord)).Decode(&word); err != nil {
		return err
	}

	g.View.Hear(word)

	return nil
}
