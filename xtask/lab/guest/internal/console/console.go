// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Package console prints the node's lines where Talos prints them: into the kernel ring buffer, hence on the serial console and
// in dmesg, prefixed `[talos]`, and copied into the machined log.
//
// It must not buffer: a line that was printed has to be on the console when the kernel dies in the next instant.
package console

import (
	"io"
	"log"
	"os"
	"sync/atomic"

	"github.com/siderolabs/go-kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Setup points the standard logger at /dev/kmsg with a prefix. Copy, if not nil, gets the same lines.
//
// The prefixes are those of internal/app/init/main.go (`[talos] [initramfs]`) and
// internal/app/machined/pkg/runtime/v1alpha1/v1alpha1_controller.go (`[talos]`).
func Setup(prefix string, logCopy io.Writer) error {
	// EINVAL means that printk.devkmsg=on was given on the command line, which is what we want anyway.
	os.WriteFile("/proc/sys/kernel/printk_devkmsg", []byte("on\n"), 0o644) //nolint:errcheck

	return kmsg.SetupLogger(nil, prefix, logCopy)
}

// stdWriter hands lines to the standard logger, so that they take the same way as log.Printf.
type stdWriter struct{}

func (stdWriter) Write(p []byte) (int, error) {
	line := p
	if n := len(line); n > 0 && line[n-1] == '\n' {
		line = line[:n-1]
	}

	log.Print(string(line))

	return len(p), nil
}

var quiet atomic.Bool

// Quiet stops controllers from writing to the console (their log goes on), as the node goes down.
func Quiet() { quiet.Store(true) }

// Controllers makes the logger of the controllers: on the console the message and its fields as JSON, without time and level
// (Talos: pkg/logging/zap.go), in the log both.
func Controllers(component string, serviceLog io.Writer) *zap.Logger {
	onConsole := zap.NewDevelopmentEncoderConfig()
	onConsole.ConsoleSeparator = " "
	onConsole.StacktraceKey = "error"
	inLog := onConsole
	onConsole.EncodeTime = nil
	onConsole.EncodeLevel = nil

	return zap.New(zapcore.NewTee(
		zapcore.NewCore(zapcore.NewConsoleEncoder(inLog), zapcore.AddSync(serviceLog), zapcore.DebugLevel),
		zapcore.NewCore(zapcore.NewConsoleEncoder(onConsole), zapcore.AddSync(stdWriter{}), zap.LevelEnablerFunc(func(l zapcore.Level) bool {
			return l >= zapcore.InfoLevel && !quiet.Load()
		})),
	)).With(zap.String("component", component))
}
