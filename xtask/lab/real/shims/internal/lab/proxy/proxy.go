// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Package proxy stands in for what Talos' fork of CoreDNS adds to the proxy of
// an upstream DNS server: Close.
package proxy

import (
	upstream "github.com/coredns/coredns/plugin/pkg/proxy"
)

// Options of one question.
type Options = upstream.Options

// ErrCachedClosed means that the server has closed a connection that was kept.
var ErrCachedClosed = upstream.ErrCachedClosed

// Proxy is one upstream DNS server.
type Proxy struct{ *upstream.Proxy }

// NewProxy makes a proxy for the server at addr.
func NewProxy(name, addr, transport string) *Proxy {
	return &Proxy{upstream.NewProxy(name, addr, transport)}
}

// Close has nothing to do: upstream's finalizer stops the transport.
func (*Proxy) Close() {}
