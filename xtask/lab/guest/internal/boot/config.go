// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package boot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	"github.com/siderolabs/go-kmsg"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	cfgres "github.com/siderolabs/talos/pkg/machinery/resources/config"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"lab.invalid/guest/internal/fetch"
	"lab.invalid/guest/internal/netup"
	"lab.invalid/guest/internal/node"
	"lab.invalid/guest/internal/peers"
	"lab.invalid/guest/internal/pki"
	"lab.invalid/guest/internal/store"
)

func kmsgLine(out io.Writer) func(kmsg.Message) error {
	return func(m kmsg.Message) error {
		_, err := fmt.Fprintf(out, "%s: %7s: [%s]: %s\n", m.Facility, m.Priority, m.Timestamp.Format(time.RFC3339Nano), strings.TrimSuffix(m.Message, "\n"))

		return err
	}
}

// network brings the network up while other phases run. It tries without a limit: without DHCP there is nothing else to do.
func (m *Machine) network() {
	ctx := context.Background()

	for {
		err := m.networkOnce(ctx)
		if err == nil {
			return
		}

		m.logger.Error("network failed", zap.String("controller", "network.OperatorSpecController"), zap.Error(err))
		time.Sleep(time.Second)
	}
}

func (m *Machine) networkOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()

	link, lease, err := netup.Up(ctx)
	if err != nil {
		return err
	}

	m.logger.Info("assigned address", zap.String("controller", "network.AddressSpecController"),
		zap.String("address", lease.Address.String()), zap.String("link", link.Name))
	m.logger.Info("setting hostname", zap.String("controller", "network.HostnameSpecController"),
		zap.String("hostname", lease.Hostname), zap.String("domainname", lease.Domain))
	m.SetNetwork(lease)

	return nil
}

// openStore finds the system disk and what the node remembers.
func (m *Machine) openStore(_ context.Context, logger *log.Logger) error {
	const disk = "/dev/vda"

	for range 50 {
		if _, err := os.Stat(disk); err == nil {
			break
		}

		time.Sleep(20 * time.Millisecond)
	}

	s, err := store.Open(disk)
	if err != nil {
		logger.Printf("nothing is remembered: %s", err)

		s = &store.Store{}
	}

	m.store = s

	if s.Get().NodeID == "" {
		if err = s.Update(func(r *store.Record) { r.NodeID = newNodeID() }); err != nil {
			return err
		}
	}

	m.NodeID = s.Get().NodeID

	return m.writeUpgrades()
}

// loadConfig takes the remembered config or, as on a first boot, the one whose address is on the kernel command line.
func (m *Machine) loadConfig(ctx context.Context, logger *log.Logger) error {
	select {
	case <-m.NetworkUp():
	case <-ctx.Done():
		return ctx.Err()
	}

	raw, source := m.store.Get().Config, "state"
	if len(raw) == 0 {
		url := m.Cmdline.First("talos.config")
		if url == "" {
			return errors.New("no machine config: talos.config is not on the kernel command line, and maintenance mode is not imitated")
		}

		logger.Printf("fetching machine config from: %q", url)

		var err error
		if raw, err = fetch.URL(ctx, url, logger); err != nil {
			return err
		}

		source = "metal"
	}

	provider, err := configloader.NewFromBytes(raw)
	if err != nil {
		return fmt.Errorf("failed to parse config: %w", err)
	}

	if !provider.CompleteForBoot() {
		return errors.New("the machine config is not complete")
	}

	if err = m.useConfig(provider); err != nil {
		return err
	}

	m.logger.Info("machine config loaded successfully", zap.String("controller", "config.AcquireController"), zap.Strings("sources", []string{source}))

	return nil
}

// useConfig makes a config the active one, in memory and as a resource.
func (m *Machine) useConfig(provider config.Provider) error {
	security := provider.Machine().Security().IssuingCA()

	ca, err := pki.NewAuthority(security.Crt, security.Key)
	if err != nil {
		return fmt.Errorf("machine.ca: %w", err)
	}

	if m.ca == nil {
		m.ca = ca // a new CA would need new certificates everywhere: not imitated
	}

	m.SetConfig(provider)
	m.setHostname(provider)

	ctx := context.Background()
	res := cfgres.NewMachineConfig(provider)

	if old, err := m.State.Get(ctx, res.Metadata()); err == nil {
		res.Metadata().SetVersion(old.Metadata().Version())
		err = m.State.Update(ctx, res)

		return err
	}

	if err = m.State.Create(ctx, res); err != nil {
		return err
	}

	m.introduce()

	if m.ControlPlane() {
		m.loadControlPlaneServices()
	}

	// Without its disk's record a rebooted single control plane would wait for a second bootstrap.
	if m.store.Get().Bootstrapped {
		m.Peers.SetBootstrapped()
	}

	return nil
}

// setHostname: a name in the config wins over the one that DHCP gave.
func (m *Machine) setHostname(provider config.Provider) {
	c := provider.NetworkHostnameConfig()
	if c == nil || c.Hostname() == "" || c.Hostname() == m.Hostname() {
		return
	}

	if err := unix.Sethostname([]byte(c.Hostname())); err != nil {
		log.Printf("setting the host name: %s", err)
	}
}

// introduce fills in what this node tells the others.
func (m *Machine) introduce() {
	m.Peers.UpdateSelf(func(p *peers.Member) {
		*p = peers.Member{
			Hostname: m.Hostname(), NodeID: m.NodeID, Address: m.Address(), ControlPlane: m.ControlPlane(), OS: m.OSImage(),
			Kernel: node.KernelRelease(), Kubelet: m.KubeletVersion(),
			BootID:    node.ReadLine("/proc/sys/kernel/random/boot_id"),
			MachineID: strings.ReplaceAll(node.ReadLine("/sys/class/dmi/id/product_uuid"), "-", ""),
		}
	})
}
