package pvefake

// qemuWriteFacts are the methods that make and change virtual machines.
const qemuWriteFacts = `
GROUP qemuconf
	acpi?:boolean affinity?:string/pve-cpuset agent?:string/qm-agent 9!allow-ksm?:boolean
	amd-sev?:string/pve-qemu-sev-fmt arch?:string=x86_64|aarch64 args?:string audio0?:string/qm-audio
	autostart?:boolean balloon?:integer>0 bios?:string=seabios|ovmf boot?:string/pve-qm-boot
	bootdisk?:string/pve-qm-bootdisk~(ide|sata|scsi|virtio)\d+ cdrom?:string/pve-qm-ide
	cicustom?:string/pve-qm-cicustom cipassword?:string citype?:string=configdrive2|nocloud|opennebula
	ciupgrade?:boolean ciuser?:string cores?:integer>1 cpu?:string/pve-vm-cpu-conf cpulimit?:number>0<128
	cpuunits?:integer>1<262144 description?:string#8192 efidisk0?:string/qm-efidisk freeze?:boolean
	hookscript?:string/pve-volume-id hostpci[n]?:string/pve-qm-hostpci hotplug?:string/pve-hotplug-features
	hugepages?:string=any|2|1024 ide[n]?:string/qm-drive-ide 9!intel-tdx?:string/pve-qemu-tdx-fmt
	ipconfig[n]?:string/pve-qm-ipconfig ivshmem?:string/qm-ivshmem keephugepages?:boolean
	keyboard?:string=de|de-ch|da|en-gb|en-us|es|fi|fr|fr-be|fr-ca|fr-ch|hu|is|it|ja|lt|mk|nl|no|pl|pt|pt-br|sv|sl|tr
	kvm?:boolean localtime?:boolean
	lock?:string=backup|clone|create|migrate|rollback|snapshot|snapshot-delete|suspending|suspended
	machine?:string/qm-machine memory?:string/qm-memory migrate_downtime?:number>0 migrate_speed?:integer>0
	name?:string/dns-name nameserver?:string/address-list net[n]?:string/qm-net node:string/pve-node numa?:boolean
	numa[n]?:string/qm-numa onboot?:boolean
	ostype?:string=other|wxp|w2k|w2k3|w2k8|wvista|win7|win8|win10|win11|l24|l26|solaris
	parallel[n]?:string~/dev/parport\d+|/dev/usb/lp\d+ protection?:boolean reboot?:boolean rng0?:string/pve-qm-rng
	sata[n]?:string/qm-sata scsi[n]?:string/qm-scsi
	scsihw?:string=lsi|lsi53c810|virtio-scsi-pci|virtio-scsi-single|megasas|pvscsi searchdomain?:string
	9!serial[n]?:string~(/dev/[^,]+|socket) 8!serial[n]?:string~(/dev/.+|socket) shares?:integer>0<50000
	smbios1?:string/pve-qm-smbios1#512 smp?:integer>1 sockets?:integer>1 spice_enhancements?:string/qm-spice
	sshkeys?:string/urlencoded startdate?:string~(now|\d{4}-\d{1,2}-\d{1,2}(T\d{1,2}:\d{1,2}:\d{1,2})?)
	startup?:string/pve-startup-order tablet?:boolean tags?:string/pve-tag-list tdf?:boolean template?:boolean
	tpmstate0?:string/qm-tpm unused[n]?:string/qm-unused usb[n]?:string/qm-usb vcpus?:integer>1 vga?:string/qm-vga
	virtio[n]?:string/qm-virtio virtiofs[n]?:string/qm-virtiofs
	vmgenid?:string~(?:[a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}|[01])
	vmid:integer/pve-vmid>100<999999999 vmstatestorage?:string/pve-storage-id watchdog?:string/pve-qm-watchdog
POST /nodes/{node}/qemu all @node +qemuconf
	archive?:string#255 bwlimit?:integer>0 force?:boolean&archive 9!ha-managed?:boolean
	import-working-storage?:string/pve-storage-id live-restore?:boolean pool?:string/pve-poolid start?:boolean
	storage?:string/pve-storage-id unique?:boolean&archive
POST /nodes/{node}/qemu/{vmid}/config /vms/{vmid},VM.Config.Disk|VM.Config.CDROM|VM.Config.CPU|VM.Config.Memory|VM.Config.Network|VM.Config.HWType|VM.Config.Options|VM.Config.Cloudinit @node +qemuconf
	background_delay?:integer>1<30 delete?:string/pve-configid-list digest?:string#40 force?:boolean&delete
	import-working-storage?:string/pve-storage-id revert?:string/pve-configid-list skiplock?:boolean
PUT /nodes/{node}/qemu/{vmid}/config /vms/{vmid},VM.Config.Disk|VM.Config.CDROM|VM.Config.CPU|VM.Config.Memory|VM.Config.Network|VM.Config.HWType|VM.Config.Options|VM.Config.Cloudinit @node +qemuconf
	delete?:string/pve-configid-list digest?:string#40 force?:boolean&delete revert?:string/pve-configid-list
	skiplock?:boolean
DELETE /nodes/{node}/qemu/{vmid} /vms/{vmid},VM.Allocate @node
	destroy-unreferenced-disks?:boolean node:string/pve-node purge?:boolean skiplock?:boolean
	vmid:integer/pve-vmid>100<999999999
GET /nodes/{node}/qemu/{vmid}/pending /vms/{vmid},VM.Audit @node
	node:string/pve-node vmid:integer/pve-vmid>100<999999999
PUT /nodes/{node}/qemu/{vmid}/resize /vms/{vmid},VM.Config.Disk @node
	digest?:string#40
	disk:string=ide0|ide1|ide2|ide3|scsi0|scsi1|scsi2|scsi3|scsi4|scsi5|scsi6|scsi7|scsi8|scsi9|scsi10|scsi11|scsi12|scsi13|scsi14|scsi15|scsi16|scsi17|scsi18|scsi19|scsi20|scsi21|scsi22|scsi23|scsi24|scsi25|scsi26|scsi27|scsi28|scsi29|scsi30|virtio0|virtio1|virtio2|virtio3|virtio4|virtio5|virtio6|virtio7|virtio8|virtio9|virtio10|virtio11|virtio12|virtio13|virtio14|virtio15|sata0|sata1|sata2|sata3|sata4|sata5|efidisk0|tpmstate0
	node:string/pve-node size:string~\+?\d+(\.\d+)?[KMGT]? skiplock?:boolean vmid:integer/pve-vmid>100<999999999
POST /nodes/{node}/qemu/{vmid}/monitor 9!/vms/{vmid},Sys.Audit|Sys.Modify 8!/vms/{vmid},VM.Monitor @node
	command:string node:string/pve-node vmid:integer/pve-vmid>100<999999999
POST /nodes/{node}/qemu/{vmid}/agent/ping 9!/vms/{vmid},VM.GuestAgent.Audit|VM.GuestAgent.Unrestricted 8!/vms/{vmid},VM.Monitor @node
	node:string/pve-node vmid:integer/pve-vmid>100<999999999
`

// formatFacts are the property strings that parameters hold.
const formatFacts = `
FORMAT ceph-ec device-class?:string failure-domain?:string k:integer>2 m:integer>1 profile?:string
FORMAT corosync-link address:string/address* priority?:integer>0<255
FORMAT dc-crs
	9!ha?:string=basic|static|dynamic 8!ha?:string=basic|static 9!ha-auto-rebalance?:boolean
	9!ha-auto-rebalance-hold-duration?:number>0&ha-auto-rebalance
	9!ha-auto-rebalance-margin?:number>0<100&ha-auto-rebalance
	9!ha-auto-rebalance-method?:string=bruteforce|topsis&ha-auto-rebalance
	9!ha-auto-rebalance-threshold?:number>0<100&ha-auto-rebalance ha-rebalance-on-start?:boolean
FORMAT dc-ha shutdown_policy:string=freeze|failover|conditional|migrate
FORMAT dc-migration network?:string/CIDR type:string=secure|insecure*
FORMAT dc-next-id lower?:integer upper?:integer
FORMAT dc-replication network?:string/CIDR type:string=secure|insecure*
FORMAT qm-agent
	enabled:boolean* 9!freeze-fs?:boolean 9!freeze-fs-on-backup->freeze-fs 8!freeze-fs-on-backup?:boolean
	fstrim_cloned_disks?:boolean 9!guest-fsfreeze->freeze-fs type?:string=virtio|isa
FORMAT qm-drive-ide
	aio?:string=native|threads|io_uring backup?:boolean bps?:integer bps_max_length?:integer>1 bps_rd?:integer
	bps_rd_length->bps_rd_max_length bps_rd_max_length?:integer>1 bps_wr?:integer bps_wr_length->bps_wr_max_length
	bps_wr_max_length?:integer>1 cache?:string=none|writethrough|writeback|unsafe|directsync 8!cyls?:integer
	detect_zeroes?:boolean discard?:string=ignore|on file:string/pve-volume-id-or-qm-path*
	format?:string=raw|qcow|qed|qcow2|vmdk|cloop 8!heads?:integer
	import-from?:string/pve-volume-id-or-absolute-path iops?:integer iops_max?:integer iops_max_length?:integer>1
	iops_rd?:integer iops_rd_length->iops_rd_max_length iops_rd_max?:integer iops_rd_max_length?:integer>1
	iops_wr?:integer iops_wr_length->iops_wr_max_length iops_wr_max?:integer iops_wr_max_length?:integer>1
	mbps?:number mbps_max?:number mbps_rd?:number mbps_rd_max?:number mbps_wr?:number mbps_wr_max?:number
	media?:string=cdrom|disk model?:string/urlencoded#120 replicate?:boolean rerror?:string=ignore|report|stop
	8!secs?:integer serial?:string/urlencoded#60 shared?:boolean size?:string/disk-size snapshot?:boolean
	ssd?:boolean 8!trans?:string=none|lba|auto volume->file werror?:string=enospc|ignore|report|stop
	wwn?:string~(?:^(0x)[0-9a-fA-F]{16})
FORMAT qm-efidisk
	efitype?:string=2m|4m file:string/pve-volume-id-or-qm-path* format?:string=raw|qcow|qed|qcow2|vmdk|cloop
	import-from?:string/pve-volume-id-or-absolute-path ms-cert?:string=2011|2023|2023w|2023k
	pre-enrolled-keys?:boolean size?:string/disk-size volume->file
FORMAT qm-machine
	9!aw-bits?:number>32<64 enable-s3?:boolean enable-s4?:boolean
	type?:string#40*~(pc|pc(-i440fx)?-\d+(\.\d+)+(\+pve\d+)?(\.pxe)?|q35|pc-q35-\d+(\.\d+)+(\+pve\d+)?(\.pxe)?|virt(?:-\d+(\.\d+)+)?(\+pve\d+)?)
	viommu?:string=intel|virtio
FORMAT qm-memory current:integer>16*
FORMAT qm-net
	bridge?:string/pve-bridge-id e1000->macaddr@model e1000-82540em->macaddr@model e1000-82544gc->macaddr@model
	e1000-82545em->macaddr@model e1000e->macaddr@model firewall?:boolean 9!host-tunnel?:boolean
	i82551->macaddr@model i82557b->macaddr@model i82559er->macaddr@model link_down?:boolean
	macaddr?:string/mac-addr
	model:string=e1000|e1000-82540em|e1000-82544gc|e1000-82545em|e1000e|i82551|i82557b|i82559er|ne2k_isa|ne2k_pci|pcnet|rtl8139|virtio|vmxnet3*
	mtu?:integer>1<65520 ne2k_isa->macaddr@model ne2k_pci->macaddr@model pcnet->macaddr@model queues?:integer>0<64
	rate?:number>0 rtl8139->macaddr@model tag?:integer>1<4094 trunks?:string~(?:\d+(?:-\d+)?(?:;\d+(?:-\d+)?)*)
	virtio->macaddr@model vmxnet3->macaddr@model
FORMAT qm-sata
	aio?:string=native|threads|io_uring backup?:boolean bps?:integer bps_max_length?:integer>1 bps_rd?:integer
	bps_rd_length->bps_rd_max_length bps_rd_max_length?:integer>1 bps_wr?:integer bps_wr_length->bps_wr_max_length
	bps_wr_max_length?:integer>1 cache?:string=none|writethrough|writeback|unsafe|directsync 8!cyls?:integer
	detect_zeroes?:boolean discard?:string=ignore|on file:string/pve-volume-id-or-qm-path*
	format?:string=raw|qcow|qed|qcow2|vmdk|cloop 8!heads?:integer
	import-from?:string/pve-volume-id-or-absolute-path iops?:integer iops_max?:integer iops_max_length?:integer>1
	iops_rd?:integer iops_rd_length->iops_rd_max_length iops_rd_max?:integer iops_rd_max_length?:integer>1
	iops_wr?:integer iops_wr_length->iops_wr_max_length iops_wr_max?:integer iops_wr_max_length?:integer>1
	mbps?:number mbps_max?:number mbps_rd?:number mbps_rd_max?:number mbps_wr?:number mbps_wr_max?:number
	media?:string=cdrom|disk replicate?:boolean rerror?:string=ignore|report|stop 8!secs?:integer
	serial?:string/urlencoded#60 shared?:boolean size?:string/disk-size snapshot?:boolean ssd?:boolean
	8!trans?:string=none|lba|auto volume->file werror?:string=enospc|ignore|report|stop
	wwn?:string~(?:^(0x)[0-9a-fA-F]{16})
FORMAT qm-scsi
	aio?:string=native|threads|io_uring backup?:boolean bps?:integer bps_max_length?:integer>1 bps_rd?:integer
	bps_rd_length->bps_rd_max_length bps_rd_max_length?:integer>1 bps_wr?:integer bps_wr_length->bps_wr_max_length
	bps_wr_max_length?:integer>1 cache?:string=none|writethrough|writeback|unsafe|directsync 8!cyls?:integer
	detect_zeroes?:boolean discard?:string=ignore|on file:string/pve-volume-id-or-qm-path*
	format?:string=raw|qcow|qed|qcow2|vmdk|cloop 8!heads?:integer
	import-from?:string/pve-volume-id-or-absolute-path iops?:integer iops_max?:integer iops_max_length?:integer>1
	iops_rd?:integer iops_rd_length->iops_rd_max_length iops_rd_max?:integer iops_rd_max_length?:integer>1
	iops_wr?:integer iops_wr_length->iops_wr_max_length iops_wr_max?:integer iops_wr_max_length?:integer>1
	iothread?:boolean mbps?:number mbps_max?:number mbps_rd?:number mbps_rd_max?:number mbps_wr?:number
	mbps_wr_max?:number media?:string=cdrom|disk product?:string~[A-Za-z0-9\-_\s]{,16} queues?:integer>2
	replicate?:boolean rerror?:string=ignore|report|stop ro?:boolean scsiblock?:boolean 8!secs?:integer
	serial?:string/urlencoded#60 shared?:boolean size?:string/disk-size snapshot?:boolean ssd?:boolean
	8!trans?:string=none|lba|auto vendor?:string~[A-Za-z0-9\-_\s]{,8} volume->file
	werror?:string=enospc|ignore|report|stop wwn?:string~(?:^(0x)[0-9a-fA-F]{16})
FORMAT qm-unused file:string/pve-volume-id* volume->file
FORMAT qm-virtio
	aio?:string=native|threads|io_uring backup?:boolean bps?:integer bps_max_length?:integer>1 bps_rd?:integer
	bps_rd_length->bps_rd_max_length bps_rd_max_length?:integer>1 bps_wr?:integer bps_wr_length->bps_wr_max_length
	bps_wr_max_length?:integer>1 cache?:string=none|writethrough|writeback|unsafe|directsync 8!cyls?:integer
	detect_zeroes?:boolean discard?:string=ignore|on file:string/pve-volume-id-or-qm-path*
	format?:string=raw|qcow|qed|qcow2|vmdk|cloop 8!heads?:integer
	import-from?:string/pve-volume-id-or-absolute-path iops?:integer iops_max?:integer iops_max_length?:integer>1
	iops_rd?:integer iops_rd_length->iops_rd_max_length iops_rd_max?:integer iops_rd_max_length?:integer>1
	iops_wr?:integer iops_wr_length->iops_wr_max_length iops_wr_max?:integer iops_wr_max_length?:integer>1
	iothread?:boolean mbps?:number mbps_max?:number mbps_rd?:number mbps_rd_max?:number mbps_wr?:number
	mbps_wr_max?:number media?:string=cdrom|disk replicate?:boolean rerror?:string=ignore|report|stop ro?:boolean
	8!secs?:integer serial?:string/urlencoded#60 shared?:boolean size?:string/disk-size snapshot?:boolean
	8!trans?:string=none|lba|auto volume->file werror?:string=enospc|ignore|report|stop
FORMAT prune-backups
	keep-all?:boolean keep-daily?:integer>0 keep-hourly?:integer>0 keep-last?:integer>0 keep-monthly?:integer>0
	keep-weekly?:integer>0 keep-yearly?:integer>0
FORMAT backup-fleecing enabled?:boolean* storage?:string/pve-storage-id
FORMAT backup-performance max-workers?:integer>1<256 pbs-entries-max?:integer>1
FORMAT pve-qm-boot legacy?:string*~[acdn]{1,4} order?:string~[a-z]+\d+(;[a-z]+\d+)*
FORMAT pve-vm-cpu-conf
	cputype?:string* flags?:string guest-phys-bits?:integer>32<64 hidden?:boolean hv-vendor-id?:string
	phys-bits?:string reported-model?:string level?:integer
FORMAT pve-qm-ipconfig gw?:string/ipv4 gw6?:string/ipv6 ip?:string ip6?:string
FORMAT pve-startup-order down?:integer>0 order?:integer>0* up?:integer>0
FORMAT bwlimit clone?:number>0 default?:number>0 migration?:number>0 move?:number>0 restore?:number>0
FORMAT dc-notify
	fencing?:string=always|never package-updates?:string=auto|always|never replication?:string=always|never
	target-fencing?:string target-package-updates?:string target-replication?:string
FORMAT dc-tag-style
	case-sensitive?:boolean
	color-map?:string~(?:(?i:[a-z0-9_][a-z0-9_\-\+\.]*):[0-9a-fA-F]{6}(?::[0-9a-fA-F]{6})?)(?:;(?:(?i:[a-z0-9_][a-z0-9_\-\+\.]*):[0-9a-fA-F]{6}(?::[0-9a-fA-F]{6})?))*
	ordering?:string=config|alphabetical shape?:string=full|circle|dense|none
FORMAT dc-u2f appid?:string origin?:string
FORMAT dc-user-tags
	user-allow?:string=none|list|existing|free
	user-allow-list?:string~(?i:[a-z0-9_][a-z0-9_\-\+\.]*)(?:;(?i:[a-z0-9_][a-z0-9_\-\+\.]*))*
FORMAT dc-webauthn allow-subdomains?:boolean id?:string origin?:string rp?:string
FORMAT qm-audio device:string=ich9-intel-hda|intel-hda|AC97 driver?:string=spice|none
FORMAT qm-ivshmem name?:string~[a-zA-Z0-9\-]+ size:integer>1
FORMAT qm-numa
	cpus:string~(?:\d+(?:-\d+)?(?:;\d+(?:-\d+)?)*) hostnodes?:string~(?:\d+(?:-\d+)?(?:;\d+(?:-\d+)?)*)
	memory?:number policy?:string=preferred|bind|interleave
FORMAT qm-spice foldersharing?:boolean videostreaming?:string=off|all|filter
FORMAT qm-tpm
	file:string/pve-volume-id-or-qm-path* 9!format?:string=raw|qcow2|vmdk
	import-from?:string/pve-volume-id-or-absolute-path size?:string/disk-size version?:string=v1.2|v2.0
	volume->file
FORMAT qm-usb
	host?:string*~(?:(?:(?:(?:(0x)?([0-9A-Fa-f]{4}):(0x)?([0-9A-Fa-f]{4})))|(?:(?:(\d+)\-(\d+(\.\d+)*)))|[Ss][Pp][Ii][Cc][Ee]))
	mapping?:string/pve-configid usb3?:boolean
FORMAT qm-vga
	clipboard?:string=vnc memory?:integer>4<512
	type?:string=cirrus|qxl|qxl2|qxl3|qxl4|none|serial0|serial1|serial2|serial3|std|virtio|virtio-gl|vmware*
FORMAT qm-virtiofs
	cache?:string=auto|always|metadata|never direct-io?:boolean dirid:string/pve-configid* expose-acl?:boolean
	expose-xattr?:boolean
FORMAT pve-qm-smbios1
	base64?:boolean family?:string manufacturer?:string product?:string serial?:string sku?:string
	uuid?:string~[a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12} version?:string
FORMAT pve-qm-watchdog action?:string=reset|shutdown|poweroff|pause|debug|none model?:string=i6300esb|ib700*
FORMAT pve-qm-rng max_bytes?:integer period?:integer source:string*~/dev/urandom|/dev/random|/dev/hwrng
FORMAT pve-qm-hostpci
	host?:string* mapping?:string/pve-configid mdev?:string pcie?:boolean rombar?:boolean romfile?:string
	legacy-igd?:boolean x-vga?:boolean vendor-id?:string device-id?:string sub-vendor-id?:string sub-device-id?:string
`
