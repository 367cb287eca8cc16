package pvefake

// nodeWriteFacts are the methods that change one machine, and those of storage.cfg.
const nodeWriteFacts = `
POST /nodes/{node}/hosts /nodes/{node},Sys.Modify @node data:string digest?:string#64 node:string/pve-node
GET /nodes/{node}/network/{iface} /nodes/{node},Sys.Audit @node iface:string/pve-iface%2#20 node:string/pve-node
POST /nodes/{node}/network /nodes/{node},Sys.Modify @node
	address?:string/ipv4&netmask address6?:string/ipv6&netmask6 autostart?:boolean bond-primary?:string/pve-iface
	bond_mode?:string=balance-rr|active-backup|balance-xor|broadcast|802.3ad|balance-tlb|balance-alb|balance-slb|lacp-balance-slb|lacp-balance-tcp
	bond_xmit_hash_policy?:string=layer2|layer2+3|layer3+4 bridge_ports?:string/pve-iface-list
	bridge_vids?:string/pve-vlan-id-or-range-list bridge_vlan_aware?:boolean cidr?:string/CIDRv4
	cidr6?:string/CIDRv6 comments?:string comments6?:string gateway?:string/ipv4 gateway6?:string/ipv6
	iface:string/pve-iface%2#20 mtu?:integer>1280<65520 netmask?:string/ipv4mask&address
	netmask6?:integer>0<128&address6 node:string/pve-node ovs_bonds?:string/pve-iface-list
	ovs_bridge?:string/pve-iface ovs_options?:string#1024 ovs_ports?:string/pve-iface-list ovs_tag?:integer>1<4094
	slaves?:string/pve-iface-list
	9!type:string=bridge|bond|eth|alias|vlan|fabric|OVSBridge|OVSBond|OVSPort|OVSIntPort|vnet|unknown
	8!type:string=bridge|bond|eth|alias|vlan|OVSBridge|OVSBond|OVSPort|OVSIntPort|vnet|unknown
	vlan-id?:integer>1<4094 vlan-raw-device?:string/pve-iface
PUT /nodes/{node}/network /nodes/{node},Sys.Modify @node node:string/pve-node 9!regenerate-frr?:boolean
DELETE /nodes/{node}/network /nodes/{node},Sys.Modify @node node:string/pve-node
PUT /nodes/{node}/network/{iface} /nodes/{node},Sys.Modify @node
	address?:string/ipv4&netmask address6?:string/ipv6&netmask6 autostart?:boolean bond-primary?:string/pve-iface
	bond_mode?:string=balance-rr|active-backup|balance-xor|broadcast|802.3ad|balance-tlb|balance-alb|balance-slb|lacp-balance-slb|lacp-balance-tcp
	bond_xmit_hash_policy?:string=layer2|layer2+3|layer3+4 bridge_ports?:string/pve-iface-list
	bridge_vids?:string/pve-vlan-id-or-range-list bridge_vlan_aware?:boolean cidr?:string/CIDRv4
	cidr6?:string/CIDRv6 comments?:string comments6?:string delete?:string/pve-configid-list gateway?:string/ipv4
	gateway6?:string/ipv6 iface:string/pve-iface%2#20 mtu?:integer>1280<65520 netmask?:string/ipv4mask&address
	netmask6?:integer>0<128&address6 node:string/pve-node ovs_bonds?:string/pve-iface-list
	ovs_bridge?:string/pve-iface ovs_options?:string#1024 ovs_ports?:string/pve-iface-list ovs_tag?:integer>1<4094
	slaves?:string/pve-iface-list
	9!type:string=bridge|bond|eth|alias|vlan|fabric|OVSBridge|OVSBond|OVSPort|OVSIntPort|vnet|unknown
	8!type:string=bridge|bond|eth|alias|vlan|OVSBridge|OVSBond|OVSPort|OVSIntPort|vnet|unknown
	vlan-id?:integer>1<4094 vlan-raw-device?:string/pve-iface
DELETE /nodes/{node}/network/{iface} /nodes/{node},Sys.Modify @node iface:string/pve-iface%2#20 node:string/pve-node
PUT /nodes/{node}/dns /nodes/{node},Sys.Modify @node
	dns1?:string/ip dns2?:string/ip dns3?:string/ip node:string/pve-node search:string
PUT /nodes/{node}/time /nodes/{node},Sys.Modify @node node:string/pve-node timezone:string
POST /nodes/{node}/status /nodes/{node},Sys.PowerMgmt @node command:string=reboot|shutdown node:string/pve-node
PUT /nodes/{node}/apt/repositories /nodes/{node},Sys.Modify @node digest?:string#80 handle:string node:string/pve-node
POST /nodes/{node}/apt/repositories /nodes/{node},Sys.Modify @node
	digest?:string#80 enabled?:boolean index:integer node:string/pve-node path:string
GET /nodes/{node}/apt/update /nodes/{node},Sys.Modify @node node:string/pve-node
POST /nodes/{node}/apt/update /nodes/{node},Sys.Modify @node node:string/pve-node notify?:boolean quiet?:boolean
GET /nodes/{node}/apt/versions /nodes/{node},Sys.Audit @node node:string/pve-node
PUT /nodes/{node}/disks/wipedisk root @node disk:string~^/dev/[a-zA-Z0-9\/]+$ node:string/pve-node
POST /nodes/{node}/disks/initgpt /,Sys.Modify @node
	disk:string~^/dev/[a-zA-Z0-9\/]+$ node:string/pve-node uuid?:string#36~[a-fA-F0-9\-]+
POST /nodes/{node}/vzdump all @node
	all?:boolean bwlimit?:integer>0 compress?:string=0|1|gzip|lzo|zstd dumpdir?:string
	exclude?:string/pve-vmid-list exclude-path?:array fleecing?:string/backup-fleecing ionice?:integer>0<8
	job-id?:string#50~\S+ lockwait?:integer>0 mailnotification?:string=always|failure
	mailto?:string/email-or-username-list 8!maxfiles?:integer>1 mode?:string=snapshot|suspend|stop
	node?:string/pve-node notes-template?:string#1024&storage
	notification-mode?:string=auto|legacy-sendmail|notification-system
	8!notification-policy?:string=always|failure|never 8!notification-target?:string/pve-configid
	pbs-change-detection-mode?:string=legacy|data|metadata performance?:string/backup-performance pigz?:integer
	pool?:string protected?:boolean&storage prune-backups?:string/prune-backups quiet?:boolean remove?:boolean
	script?:string stdexcludes?:boolean stdout?:boolean stop?:boolean stopwait?:integer>0
	storage?:string/pve-storage-id tmpdir?:string vmid?:string/pve-vmid-list zstd?:integer
GET /nodes/{node}/storage/{storage}/content /storage/{storage},Datastore.Audit|Datastore.AllocateSpace @node
	content?:string/pve-storage-content node:string/pve-node storage:string/pve-storage-id
	vmid?:integer/pve-vmid>100<999999999
POST /storage /storage,Datastore.Allocate
	authsupported?:string base?:string/pve-volume-id 9!blocksize?:string/pve-storage-zfs-blocksize
	8!blocksize?:string bwlimit?:string/bwlimit comstar_hg?:string comstar_tg?:string
	content?:string/pve-storage-content-list content-dirs?:string/pve-dir-override-list create-base-path?:boolean
	create-subdirs?:boolean data-pool?:string datastore?:string disable?:boolean domain?:string#256
	encryption-key?:string export?:string/pve-storage-path fingerprint?:string~([A-Fa-f0-9]{2}:){31}[A-Fa-f0-9]{2}
	format?:string=raw|qcow2|subvol|vmdk fs-name?:string/pve-configid fuse?:boolean is_mountpoint?:string
	iscsiprovider?:string keyring?:string krbd?:boolean lio_tpg?:string master-pubkey?:string
	max-protected-backups?:integer>-1 8!maxfiles?:integer>0 mkdir?:boolean
	monhost?:string/pve-storage-portal-dns-list mountpoint?:string/pve-storage-path namespace?:string
	nocow?:boolean nodes?:string/pve-node-list nowritecache?:boolean options?:string/pve-storage-options
	password?:string#256 path?:string/pve-storage-path pool?:string port?:integer>1<65535
	portal?:string/pve-storage-portal-dns preallocation?:string=off|metadata|falloc|full
	prune-backups?:string/prune-backups saferemove?:boolean 9!saferemove-stepsize?:integer=1|2|4|8|16|32
	saferemove_throughput?:string server?:string/pve-storage-server 8!server2?:string/pve-storage-server&server
	share?:string shared?:boolean skip-cert-verification?:boolean smbversion?:string=default|2.0|2.1|3|3.0|3.11
	9!snapshot-as-volume-chain?:boolean sparse?:boolean storage:string/pve-storage-id
	subdir?:string/pve-storage-path tagged_only?:boolean target?:string thinpool?:string/pve-storage-vgname
	8!transport?:string=tcp|rdma|unix
	9!type:string=btrfs|cephfs|cifs|dir|esxi|iscsi|iscsidirect|lvm|lvmthin|nfs|pbs|rbd|zfs|zfspool
	8!type:string=btrfs|cephfs|cifs|dir|esxi|glusterfs|iscsi|iscsidirect|lvm|lvmthin|nfs|pbs|rbd|zfs|zfspool
	username?:string vgname?:string/pve-storage-vgname 8!volume?:string zfs-base-path?:string/pve-storage-path
PUT /storage/{storage} /storage,Datastore.Allocate
	9!blocksize?:string/pve-storage-zfs-blocksize 8!blocksize?:string bwlimit?:string/bwlimit comstar_hg?:string
	comstar_tg?:string content?:string/pve-storage-content-list content-dirs?:string/pve-dir-override-list
	create-base-path?:boolean create-subdirs?:boolean data-pool?:string delete?:string/pve-configid-list#4096
	digest?:string#64 disable?:boolean domain?:string#256 encryption-key?:string
	fingerprint?:string~([A-Fa-f0-9]{2}:){31}[A-Fa-f0-9]{2} format?:string=raw|qcow2|subvol|vmdk
	fs-name?:string/pve-configid fuse?:boolean is_mountpoint?:string keyring?:string krbd?:boolean lio_tpg?:string
	master-pubkey?:string max-protected-backups?:integer>-1 8!maxfiles?:integer>0 mkdir?:boolean
	monhost?:string/pve-storage-portal-dns-list mountpoint?:string/pve-storage-path namespace?:string
	nocow?:boolean nodes?:string/pve-node-list nowritecache?:boolean options?:string/pve-storage-options
	password?:string#256 pool?:string port?:integer>1<65535 preallocation?:string=off|metadata|falloc|full
	prune-backups?:string/prune-backups saferemove?:boolean 9!saferemove-stepsize?:integer=1|2|4|8|16|32
	saferemove_throughput?:string server?:string/pve-storage-server 8!server2?:string/pve-storage-server&server
	shared?:boolean skip-cert-verification?:boolean smbversion?:string=default|2.0|2.1|3|3.0|3.11
	9!snapshot-as-volume-chain?:boolean sparse?:boolean storage:string/pve-storage-id
	subdir?:string/pve-storage-path tagged_only?:boolean 8!transport?:string=tcp|rdma|unix username?:string
	zfs-base-path?:string/pve-storage-path
DELETE /storage/{storage} /storage,Datastore.Allocate storage:string/pve-storage-id
`

// cephWriteFacts are the methods that change Ceph.
const cephWriteFacts = `
GET /nodes/{node}/ceph/cfg/raw /,Sys.Audit|Datastore.Audit @node node:string/pve-node
GET /nodes/{node}/ceph/cfg/value /,Sys.Audit @node
	9!config-keys:string#4096~(?:^(?:(?i:[0-9a-z\-_\.]+:[0-9a-zA-Z\-_]+))(?:[;,\x20](?i:[0-9a-z\-_\.]+:[0-9a-zA-Z\-_]+))*$)
	8!config-keys:string~(?:^(:?(?i:[0-9a-z\-_\.]+:[0-9a-zA-Z\-_]+))(:?[;,\x20](?i:[0-9a-z\-_\.]+:[0-9a-zA-Z\-_]+))*$)
	node:string/pve-node
POST /nodes/{node}/ceph/init /,Sys.Modify @node
	cluster-network?:string/CIDR#128&network disable_cephx?:boolean min_size?:integer>1<7 network?:string/CIDR#128
	node:string/pve-node pg_bits?:integer>6<14 size?:integer>1<7
POST /nodes/{node}/ceph/mon/{monid} /,Sys.Modify @node
	mon-address?:string/ip-list monid?:string#200~[a-zA-Z0-9]([a-zA-Z0-9\-]*[a-zA-Z0-9])? node:string/pve-node
DELETE /nodes/{node}/ceph/mon/{monid} /,Sys.Modify @node
	monid:string~[a-zA-Z0-9]([a-zA-Z0-9\-]*[a-zA-Z0-9])? node:string/pve-node
POST /nodes/{node}/ceph/mgr/{id} /,Sys.Modify @node
	id?:string#200~[a-zA-Z0-9]([a-zA-Z0-9\-]*[a-zA-Z0-9])? node:string/pve-node
DELETE /nodes/{node}/ceph/mgr/{id} /,Sys.Modify @node
	id:string~[a-zA-Z0-9]([a-zA-Z0-9\-]*[a-zA-Z0-9])? node:string/pve-node
POST /nodes/{node}/ceph/mds/{name} /,Sys.Modify @node
	hotstandby?:boolean name?:string#200~[a-zA-Z0-9]([a-zA-Z0-9\-]*[a-zA-Z0-9])? node:string/pve-node
DELETE /nodes/{node}/ceph/mds/{name} /,Sys.Modify @node
	name:string~[a-zA-Z0-9]([a-zA-Z0-9\-]*[a-zA-Z0-9])? node:string/pve-node
POST /nodes/{node}/ceph/fs/{name} /,Sys.Modify @node
	add-storage?:boolean name?:string~(?:^[^:/\s]+$) node:string/pve-node pg_num?:integer>8<32768
POST /nodes/{node}/ceph/osd root @node
	crush-device-class?:string db_dev?:string db_dev_size?:number>1&db_dev dev:string encrypted?:boolean
	node:string/pve-node osds-per-device?:integer>1 wal_dev?:string wal_dev_size?:number>0.5&wal_dev
DELETE /nodes/{node}/ceph/osd/{osdid} root @node cleanup?:boolean node:string/pve-node osdid:integer
POST /nodes/{node}/ceph/osd/{osdid}/in /,Sys.Modify @node node:string/pve-node osdid:integer
POST /nodes/{node}/ceph/osd/{osdid}/out /,Sys.Modify @node node:string/pve-node osdid:integer
POST /nodes/{node}/ceph/pool /,Sys.Modify @node
	add_storages?:boolean application?:string=rbd|cephfs|rgw crush_rule?:string erasure-coding?:string/ceph-ec
	min_size?:integer>1<7 name:string~(?:^[^:/\s]+$) node:string/pve-node pg_autoscale_mode?:string=on|off|warn
	pg_num?:integer>1<32768 pg_num_min?:integer<32768 size?:integer>1<7
	target_size?:string~^(\d+(\.\d+)?)([KMGT])?$ target_size_ratio?:number
PUT /nodes/{node}/ceph/pool/{name} /,Sys.Modify @node
	application?:string=rbd|cephfs|rgw crush_rule?:string min_size?:integer>1<7 name:string~(?:^[^:/\s]+$)
	node:string/pve-node pg_autoscale_mode?:string=on|off|warn pg_num?:integer>1<32768 pg_num_min?:integer<32768
	size?:integer>1<7 target_size?:string~^(\d+(\.\d+)?)([KMGT])?$ target_size_ratio?:number
DELETE /nodes/{node}/ceph/pool/{name} /,Sys.Modify @node
	force?:boolean name:string node:string/pve-node remove_ecprofile?:boolean remove_storages?:boolean
PUT /cluster/ceph/flags /,Sys.Modify
	nobackfill?:boolean nodeep-scrub?:boolean nodown?:boolean noin?:boolean noout?:boolean norebalance?:boolean
	norecover?:boolean noscrub?:boolean notieragent?:boolean noup?:boolean pause?:boolean
GET /cluster/ceph/flags/{flag} /,Sys.Audit
	flag:string=nobackfill|nodeep-scrub|nodown|noin|noout|norebalance|norecover|noscrub|notieragent|noup|pause
PUT /cluster/ceph/flags/{flag} /,Sys.Modify
	flag:string=nobackfill|nodeep-scrub|nodown|noin|noout|norebalance|norecover|noscrub|notieragent|noup|pause
	value:boolean
`
