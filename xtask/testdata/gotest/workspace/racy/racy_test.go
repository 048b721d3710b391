// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package racy_test

import "testing"

func TestRaces(t *testing.T) {
	var n int

	done := make(chan struct{})

	go func() {
		n++

		close(done)
	}()

	n++

	<-done
	t.Log(n)
}

func TestCalm(t *testing.T) {}
