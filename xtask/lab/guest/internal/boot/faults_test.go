// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package boot

import (
	"context"
	"testing"
	"time"
)

func TestFaults(t *testing.T) {
	f := parseFaults([]string{"no-ready", "hang-phase=env", "slow-boot=3"})
	if !f.has("no-ready") || !f.has("hang-phase") || f["slow-boot"] != "3" || f.has("kernel-panic") {
		t.Errorf("%v", f)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()

	f.beforePhase(ctx, "ephemeral")

	if ctx.Err() != nil {
		t.Error("a phase that is not named hangs")
	}

	f.beforePhase(ctx, "env")

	if ctx.Err() == nil {
		t.Error("the named phase does not hang")
	}

	defer func() {
		if recover() == nil {
			t.Error("panic-early does not panic")
		}
	}()
	parseFaults([]string{"panic-early"}).panicEarly()
}
