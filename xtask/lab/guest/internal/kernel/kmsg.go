// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package kernel

import (
	"context"
	"errors"
	"io"

	"github.com/siderolabs/go-kmsg"
)

// ReadKmsg hands every message of the kernel ring buffer to sink: all of them or, with tail, only those to come; with follow it
// goes on until ctx ends.
func ReadKmsg(ctx context.Context, follow, tail bool, sink func(kmsg.Message) error) error {
	var options []kmsg.Option

	if follow {
		options = append(options, kmsg.Follow())
	}

	if tail {
		options = append(options, kmsg.FromTail())
	}

	reader, err := kmsg.NewReader(options...)
	if err != nil {
		return err
	}
	defer reader.Close() //nolint:errcheck

	for packet := range reader.Scan(ctx) {
		if packet.Err != nil {
			if errors.Is(packet.Err, io.EOF) || ctx.Err() != nil {
				return nil
			}

			return packet.Err
		}

		if err = sink(packet.Message); err != nil {
			return err
		}
	}

	return nil
}
