package pvefake

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"time"
)

// pki is the cluster's CA and its nodes' certificates, as /etc/pve/pve-root-ca.pem and pve-ssl.pem.
type pki struct {
	ca    *x509.Certificate
	caKey *ecdsa.PrivateKey
	caPEM []byte
	nodes []nodeCert
}

type nodeCert struct {
	tls         tls.Certificate
	leaf        *x509.Certificate
	pem         []byte
	fingerprint string // SHA-256, upper case, colons: what "pve_fp" and "ssl_fingerprint" hold
}

func newPKI(names []string, ips, shown []net.IP, now time.Time) (*pki, error) {
	p := &pki{}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("pvefake: CA key: %w", err)
	}
	// Virtual clocks live in any year, TLS clients in this one: both must find the certificate valid.
	from, to := validity(now)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: to, IsCA: true, BasicConstraintsValid: true,
		Subject: pkix.Name{
			CommonName: "Proxmox Virtual Environment", Organization: []string{"PVE Cluster Manager CA"},
			OrganizationalUnit: []string{"00000000-0000-4000-8000-000000000001"},
		},
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("pvefake: CA certificate: %w", err)
	}
	if p.ca, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("pvefake: CA certificate: %w", err)
	}
	p.caKey = key
	p.caPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for i, name := range names {
		cert, err := p.issue(name, []net.IP{ips[i], shown[i]}, int64(i+2), from, to)
		if err != nil {
			return nil, err
		}
		p.nodes = append(p.nodes, cert)
	}
	return p, nil
}

func validity(now time.Time) (from, to time.Time) {
	wall := time.Now()
	from, to = now, now
	if wall.Before(from) {
		from = wall
	}
	if wall.After(to) {
		to = wall
	}
	return from.Add(-24 * time.Hour), to.Add(2 * 365 * 24 * time.Hour)
}

func (p *pki) issue(name string, ips []net.IP, serial int64, from, to time.Time) (nodeCert, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nodeCert{}, fmt.Errorf("pvefake: key of %s: %w", name, err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: from, NotAfter: to,
		Subject:     pkix.Name{CommonName: name + ".lab", Organization: []string{"Proxmox Virtual Environment"}, OrganizationalUnit: []string{"PVE Cluster Node"}},
		DNSNames:    []string{"localhost", name, name + ".lab"},
		IPAddresses: append(ips, net.IPv4(127, 0, 0, 1)),
		KeyUsage:    x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, p.ca, &key.PublicKey, p.caKey)
	if err != nil {
		return nodeCert{}, fmt.Errorf("pvefake: certificate of %s: %w", name, err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nodeCert{}, fmt.Errorf("pvefake: certificate of %s: %w", name, err)
	}
	return nodeCert{
		tls:         tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf},
		leaf:        leaf,
		pem:         pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		fingerprint: fingerprint(der),
	}, nil
}

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(parts, ":")
}
