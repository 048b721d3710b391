// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Package fetch gets a node's machine config from the address that the kernel command line names.
package fetch

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"time"
)

// most is a bound on the size of a machine config.
const most = 16 << 20

// URL tries without a limit: the host may be slower than the VM.
func URL(ctx context.Context, url string, logger *log.Logger) ([]byte, error) {
	client := &http.Client{Timeout: 10 * time.Second}

	for {
		raw, err := once(ctx, client, url)
		if err == nil {
			return raw, nil
		}

		logger.Printf("%s", err)

		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func once(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}

	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck

	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", url, resp.Status)
	}

	return io.ReadAll(io.LimitReader(resp.Body, most))
}
