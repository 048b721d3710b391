// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Package cache stands in for what Talos' fork of CoreDNS adds to the cache
// plugin: options at construction, and Clear.
package cache

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/coredns/coredns/plugin"
	upstream "github.com/coredns/coredns/plugin/cache"
	"github.com/miekg/dns"
)

// Cache passes questions to a cache of upstream CoreDNS.
type Cache struct {
	// Next answers what is not in the cache; set before the first question.
	Next plugin.Handler

	inner atomic.Pointer[upstream.Cache]
}

// Option is accepted and has no effect: upstream's limits are not exported.
type Option struct{}

// NewCache makes an empty cache. The labels are for metrics, which nodes of the
// lab do not serve.
func NewCache(_, _ string, _ ...Option) *Cache {
	return &Cache{}
}

// WithNegativeTTL has no effect: negative answers live as long as upstream
// lets them.
func WithNegativeTTL(_, _ time.Duration) Option { return Option{} }

// Clear forgets all answers.
func (c *Cache) Clear() {
	c.inner.Store(nil)
}

// ServeDNS implements [plugin.Handler].
func (c *Cache) ServeDNS(ctx context.Context, w dns.ResponseWriter, msg *dns.Msg) (int, error) {
	inner := c.inner.Load()
	if inner == nil {
		fresh := upstream.New()
		fresh.Next = c.Next
		c.inner.CompareAndSwap(nil, fresh)
		// Another question may have been first; a Clear since then costs
		// this one its place in the cache, not its answer.
		if inner = c.inner.Load(); inner == nil {
			inner = fresh
		}
	}

	return inner.ServeDNS(ctx, w, msg)
}

// Name implements [plugin.Handler].
func (c *Cache) Name() string { return "cache" }
