// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package logs_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"lab.invalid/guest/internal/logs"
)

func read(t *testing.T, l *logs.Log, tail int) string {
	t.Helper()

	var out strings.Builder

	if err := l.Read(t.Context(), tail, false, func(p []byte) error { out.Write(p); return nil }); err != nil {
		t.Fatal(err)
	}

	return out.String()
}

func TestTail(t *testing.T) {
	l := logs.NewRegistry().Open("x")
	fmt.Fprint(l, "one\ntwo\nthree\n")

	for tail, want := range map[int]string{-1: "one\ntwo\nthree\n", 0: "", 1: "three\n", 2: "two\nthree\n", 3: "one\ntwo\nthree\n", 9: "one\ntwo\nthree\n"} {
		if got := read(t, l, tail); got != want {
			t.Errorf("tail %d: %q, want %q", tail, got, want)
		}
	}
}

func TestFollow(t *testing.T) {
	l := logs.NewRegistry().Open("x")
	fmt.Fprintln(l, "before")

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()

	var out strings.Builder

	go func() {
		// Again and again, as nothing tells when the reader has begun.
		for ctx.Err() == nil {
			time.Sleep(20 * time.Millisecond)
			fmt.Fprintln(l, "after")
		}
	}()

	err := l.Read(ctx, 0, true, func(p []byte) error {
		out.Write(p)
		cancel()

		return nil
	})
	if err != nil || !strings.HasPrefix(out.String(), "after\n") {
		t.Fatalf("%v: %q", err, out.String())
	}
}

func TestTheOldestLinesGo(t *testing.T) {
	l := logs.NewRegistry().Open("x")
	line := strings.Repeat("x", 99) + "\n"

	for range 3 * logs.Capacity / 100 {
		fmt.Fprint(l, line)
	}

	fmt.Fprintln(l, "last")

	got := read(t, l, -1)
	if len(got) > logs.Capacity || len(got) < logs.Capacity/3 || !strings.HasSuffix(got, "last\n") || !strings.HasPrefix(got, line) {
		t.Fatalf("%d bytes, beginning with %q", len(got), got[:20])
	}

	if tail := read(t, l, 1); tail != "last\n" {
		t.Fatalf("tail is %q", tail)
	}
}

func TestUnknownLog(t *testing.T) {
	r := logs.NewRegistry()
	r.Open("b")
	r.Open("a")

	if _, ok := r.Get("c"); ok || strings.Join(r.IDs(), " ") != "a b" {
		t.Fatal("the registry made a log that was not opened")
	}
}
