// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package controllers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/extensions"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
	"github.com/siderolabs/talos/pkg/machinery/resources/cluster"
	cfgres "github.com/siderolabs/talos/pkg/machinery/resources/config"
	"github.com/siderolabs/talos/pkg/machinery/resources/hardware"
	"github.com/siderolabs/talos/pkg/machinery/resources/k8s"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	timeres "github.com/siderolabs/talos/pkg/machinery/resources/time"
	"github.com/siderolabs/talos/pkg/machinery/resources/v1alpha1"
	"go.uber.org/zap"

	"lab.invalid/guest/internal/node"
)

// config derives from the machine config what other controllers and talosctl read. The MachineConfig resource itself is written
// by the code that loads or applies a config.
func config(n *node.Node) *reconciler {
	return &reconciler{
		name:    "config.MachineTypeController",
		inputs:  []controller.Input{input(cfgres.NamespaceName, cfgres.MachineConfigType)},
		outputs: exclusive(cfgres.MachineTypeType, cluster.InfoType, k8s.BootstrapManifestsConfigType, timeres.StatusType),
		do: func(ctx context.Context, r controller.Runtime, _ *zap.Logger) error {
			c := n.Config()
			if c == nil || c.Machine() == nil || c.Cluster() == nil {
				return nil
			}

			if err := safe.WriterModify(ctx, r, cfgres.NewMachineType(), func(t *cfgres.MachineType) error {
				t.SetMachineType(c.Machine().Type())

				return nil
			}); err != nil {
				return err
			}

			if err := safe.WriterModify(ctx, r, cluster.NewInfo(), func(i *cluster.Info) error {
				*i.TypedSpec() = cluster.InfoSpec{ClusterID: c.Cluster().ID(), ClusterName: c.Cluster().Name()}

				return nil
			}); err != nil {
				return err
			}

			// The clock comes from the machine's own RTC; nothing here asks a time server.
			if err := safe.WriterModify(ctx, r, timeres.NewStatus(), func(s *timeres.Status) error {
				*s.TypedSpec() = timeres.StatusSpec{Synced: true, SyncDisabled: true}

				return nil
			}); err != nil {
				return err
			}

			if !n.ControlPlane() {
				return nil
			}

			return safe.WriterModify(ctx, r, k8s.NewBootstrapManifestsConfig(), func(m *k8s.BootstrapManifestsConfig) error {
				// Neither kube-proxy nor CoreDNS nor flannel is deployed, whatever the config says.
				*m.TypedSpec() = k8s.BootstrapManifestsConfigSpec{
					ClusterDomain: c.Cluster().Network().DNSDomain(), PodCIDRs: c.Cluster().Network().PodCIDRs(),
				}

				return nil
			})
		},
	}
}

func versions(n *node.Node) *reconciler {
	return &reconciler{
		name:    "runtime.VersionController",
		inputs:  []controller.Input{input(cfgres.NamespaceName, cfgres.MachineConfigType)},
		outputs: exclusive(runtime.VersionType, runtime.KernelCmdlineType),
		do: func(ctx context.Context, r controller.Runtime, _ *zap.Logger) error {
			if err := safe.WriterModify(ctx, r, runtime.NewVersion(), func(v *runtime.Version) error {
				v.TypedSpec().Version = n.Version()

				return nil
			}); err != nil {
				return err
			}

			return safe.WriterModify(ctx, r, runtime.NewKernelCmdline(), func(c *runtime.KernelCmdline) error {
				c.TypedSpec().Cmdline = n.Cmdline.Raw

				return nil
			})
		},
	}
}

// extensionStatus reads the list of extensions where Talos' own initramfs has it: at its root, or at the path of the running
// system (constants.ExtensionsConfigFile and ExtensionsRuntimeConfigFile). It is written when an overlay is packed.
func extensionStatus() *reconciler {
	return &reconciler{
		name:    "runtime.ExtensionStatusController",
		outputs: exclusive(runtime.ExtensionStatusType),
		do: func(ctx context.Context, r controller.Runtime, _ *zap.Logger) error {
			for _, path := range []string{constants.ExtensionsConfigFile, constants.ExtensionsRuntimeConfigFile} {
				var list extensions.Config

				err := list.Read(path)
				if errors.Is(err, fs.ErrNotExist) || errors.Is(err, io.EOF) {
					continue
				}

				if err != nil {
					return fmt.Errorf("failed loading extensions config: %w", err)
				}

				for _, layer := range list.Layers {
					id := strings.TrimSuffix(layer.Image, ".sqsh")

					if err = safe.WriterModify(ctx, r, runtime.NewExtensionStatus(runtime.NamespaceName, id), func(s *runtime.ExtensionStatus) error {
						*s.TypedSpec() = *layer

						return nil
					}); err != nil {
						return err
					}
				}
			}

			return nil
		},
	}
}

// extensionServiceConfig has a resource for each such document of the machine config.
func extensionServiceConfig(n *node.Node) *reconciler {
	return &reconciler{
		name:    "runtime.ExtensionServiceConfigController",
		inputs:  []controller.Input{input(cfgres.NamespaceName, cfgres.MachineConfigType)},
		outputs: exclusive(runtime.ExtensionServiceConfigType),
		sweeps:  kind(runtime.NamespaceName, runtime.ExtensionServiceConfigType),
		do: func(ctx context.Context, r controller.Runtime, _ *zap.Logger) error {
			c := n.Config()
			if c == nil {
				return nil
			}

			for _, extension := range c.ExtensionServiceConfigs() {
				if err := safe.WriterModify(ctx, r, runtime.NewExtensionServiceConfigSpec(runtime.NamespaceName, extension.Name()),
					func(s *runtime.ExtensionServiceConfig) error {
						s.TypedSpec().Environment = extension.Environment()
						s.TypedSpec().Files = nil

						for _, file := range extension.ConfigFiles() {
							s.TypedSpec().Files = append(s.TypedSpec().Files, runtime.ExtensionServiceConfigFile{
								Content: file.Content(), MountPath: file.MountPath(),
							})
						}

						return nil
					}); err != nil {
					return err
				}
			}

			return nil
		},
	}
}

// securityState asks the kernel: the stand-in is never booted by a UKI or secure boot.
func securityState(n *node.Node) *reconciler {
	return &reconciler{
		name: "runtime.SecurityStateController", outputs: exclusive(runtime.SecurityStateType), every: 5 * time.Second,
		do: func(ctx context.Context, r controller.Runtime, _ *zap.Logger) error {
			selinux := runtime.SELinuxStateDisabled

			switch node.ReadLine("/sys/fs/selinux/enforce") {
			case "0":
				selinux = runtime.SELinuxStatePermissive
			case "1":
				selinux = runtime.SELinuxStateEnforcing
			}

			return safe.WriterModify(ctx, r, runtime.NewSecurityStateSpec(runtime.NamespaceName), func(s *runtime.SecurityState) error {
				s.TypedSpec().SELinuxState = selinux
				s.TypedSpec().ModuleSignatureEnforced = node.ReadLine("/sys/module/module/parameters/sig_enforce") == "Y" ||
					n.Cmdline.First("module.sig_enforce") == "1"

				return nil
			})
		},
	}
}

// systemDisk is what talosctl gives every VM as its first disk.
const systemDisk = "vda"

// volumeStatus reports the system disk as one volume: nothing is partitioned here.
func volumeStatus(_ *node.Node) *reconciler {
	return &reconciler{
		name: "block.VolumeManagerController", outputs: exclusive(block.VolumeStatusType), every: 10 * time.Second,
		do: func(ctx context.Context, r controller.Runtime, _ *zap.Logger) error {
			sectors, err := strconv.ParseUint(node.ReadLine("/sys/class/block/"+systemDisk+"/size"), 10, 64)
			if err != nil {
				return nil // no disk, no volume
			}

			return safe.WriterModify(ctx, r, block.NewVolumeStatus(block.NamespaceName, constants.EphemeralPartitionLabel),
				func(v *block.VolumeStatus) error {
					v.TypedSpec().Phase = block.VolumePhaseReady
					v.TypedSpec().Type = block.VolumeTypeDisk
					v.TypedSpec().Location = "/dev/" + systemDisk
					v.TypedSpec().SetSize(sectors * 512)

					return nil
				})
		},
	}
}

func mountStatus() *reconciler {
	return &reconciler{
		name: "runtime.MountStatusController", outputs: exclusive(runtime.MountStatusType), every: 30 * time.Second,
		sweeps: kind(v1alpha1.NamespaceName, runtime.MountStatusType),
		do: func(ctx context.Context, r controller.Runtime, _ *zap.Logger) error {
			f, err := os.Open("/proc/mounts")
			if err != nil {
				return err
			}
			defer f.Close() //nolint:errcheck

			for scanner := bufio.NewScanner(f); scanner.Scan(); {
				field := strings.Fields(scanner.Text())
				if len(field) < 4 {
					continue
				}

				if err = safe.WriterModify(ctx, r, runtime.NewMountStatus(v1alpha1.NamespaceName, field[1]), func(m *runtime.MountStatus) error {
					*m.TypedSpec() = runtime.MountStatusSpec{
						Source: field[0], Target: field[1], FilesystemType: field[2], Options: strings.Split(field[3], ","),
					}

					return nil
				}); err != nil {
					return err
				}
			}

			return nil
		},
	}
}

func systemInformation(_ *node.Node) *reconciler {
	return &reconciler{
		name: "hardware.SystemInfoController", outputs: exclusive(hardware.SystemInformationType),
		do: func(ctx context.Context, r controller.Runtime, _ *zap.Logger) error {
			dmi := func(name string) string { return node.ReadLine("/sys/class/dmi/id/" + name) }

			return safe.WriterModify(ctx, r, hardware.NewSystemInformation(hardware.SystemInformationID), func(s *hardware.SystemInformation) error {
				*s.TypedSpec() = hardware.SystemInformationSpec{
					Manufacturer: dmi("sys_vendor"), ProductName: dmi("product_name"), Version: dmi("product_version"),
					SerialNumber: dmi("product_serial"), UUID: dmi("product_uuid"), SKUNumber: dmi("product_sku"),
				}

				return nil
			})
		},
	}
}
