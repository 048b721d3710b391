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
