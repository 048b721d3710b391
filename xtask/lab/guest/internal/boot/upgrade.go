// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package boot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"golang.org/x/sys/unix"

	"lab.invalid/guest/internal/registry"
	"lab.invalid/guest/internal/sequencer"
	"lab.invalid/guest/internal/store"
)

// UpgradesFile lists the upgrades that were asked for, as JSON, over reboots.
const UpgradesFile = "/run/lab/upgrades.json"

// upgrade is one entry of that file.
type upgrade struct {
	Image      string `json:"image"`
	Digest     string `json:"digest,omitempty"`
	Unresolved string `json:"unresolved,omitempty"` // why no registry had the image
	API        string `json:"api"`
	Preserve   bool   `json:"preserve"`
	Stage      bool   `json:"stage"`
	Force      bool   `json:"force"`
	RebootMode string `json:"rebootMode,omitempty"`
	From       string `json:"from"`
	Time       string `json:"time"`
}

// Resolve looks the image up. That no registry has it is an error only with lab.fault=strict-pull: the lab need not have one.
func (m *Machine) Resolve(ctx context.Context, image string) (digest string, err error) {
	digest, err = registry.Resolve(ctx, m.client(m.trustedRoots()), image, m.Config().RegistryMirrorConfigs())
	if err != nil && !m.faults.has("strict-pull") {
		log.Printf("lab stand-in: going on without the image: %s", strings.ReplaceAll(err.Error(), "\n", "; "))

		return "", nil
	}

	return digest, err
}

// Record notes an upgrade that was asked for.
func (m *Machine) Record(ctx context.Context, api string, in *machine.UpgradeRequest) error {
	entry := upgrade{
		Image: in.GetImage(), API: api, Preserve: in.GetPreserve(), Stage: in.GetStage(), Force: in.GetForce(), From: m.Version(),
		Time: time.Now().UTC().Format(time.RFC3339),
	}

	if api == "machine" {
		entry.RebootMode = in.GetRebootMode().String()
	}

	var err error
	if entry.Digest, err = registry.Resolve(ctx, m.client(m.trustedRoots()), in.GetImage(), m.Config().RegistryMirrorConfigs()); err != nil {
		entry.Unresolved = strings.ReplaceAll(err.Error(), "\n", "; ")
	}

	raw, err := json.Marshal(entry)
	if err != nil {
		return err
	}

	if err = m.store.Update(func(r *store.Record) { r.Upgrades = append(r.Upgrades, raw) }); err != nil {
		return err
	}

	return m.writeUpgrades()
}

// writeUpgrades shows the record at a path that `talosctl read` can be given.
func (m *Machine) writeUpgrades() error {
	content := "[]\n"

	if list := m.store.Get().Upgrades; len(list) > 0 {
		raw, err := json.MarshalIndent(list, "", "  ")
		if err != nil {
			return err
		}

		content = string(raw) + "\n"
	}

	if err := os.MkdirAll(filepath.Dir(UpgradesFile), 0o755); err != nil {
		return err
	}

	return os.WriteFile(UpgradesFile, []byte(content), 0o644)
}

// Upgrade looks the image up, records the request, runs the upgrade sequence with its phases' names, and reboots. Nothing is
// installed: what the node boots next is the kernel and initramfs that it is given from outside, as every VM without a bootloader.
func (m *Machine) Upgrade(ctx context.Context, in *machine.UpgradeRequest) error {
	if in.GetImage() == "" {
		return errors.New("an installer image is needed")
	}

	log.Printf("upgrade request received: staged %v, force %v, reboot mode %v", in.GetStage(), in.GetForce(), in.GetRebootMode())
	log.Printf("validating %q", in.GetImage())

	if _, err := m.Resolve(ctx, in.GetImage()); err != nil {
		return fmt.Errorf("error validating installer image %q: %w", in.GetImage(), err)
	}

	install := one("upgrade", "upgrade", func(ctx context.Context, logger *log.Logger) error {
		logger.Printf("performing upgrade via %q (lab stand-in: recorded in %s, nothing is installed)", in.GetImage(), UpgradesFile)

		return m.Record(ctx, "machine", in)
	})

	phases := append(m.stopPhases(), install)

	if !m.Cmdline.Has("lab.upgrade-without-reboot") {
		go m.sequence(ctx, sequencer.Upgrade, append(phases, m.last("reboot")), unix.LINUX_REBOOT_CMD_RESTART)

		return nil
	}

	go func() {
		m.sequence(ctx, sequencer.Upgrade, phases, 0)

		if err := m.Services.Start(m.Services.IDs()...); err != nil {
			log.Printf("restarting services: %s", err)
		}
	}()

	return nil
}
