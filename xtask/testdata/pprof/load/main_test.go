package main

import "testing"

func BenchmarkWork(b *testing.B) {
	for b.Loop() {
		work(1)
	}
}
