// Command traffic writes the captures that the examples run over:
// examples/NAME/traffic.pcap, from the project's root. The same captures each
// time: addresses are those set aside for documentation, chance is seeded.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

// captures says which conversations each example's capture is made of.
var captures = map[string]func(*trace){
	"firewall":   firewall,
	"protocount": protocount,
	"flows":      flows,
	"tailparse":  tailparse,
	"redirect":   redirect,
}

func main() {
	dir := flag.String("dir", "examples", "directory that holds a folder for each example")
	flag.Parse()
	for name, fill := range captures {
		if err := write(filepath.Join(*dir, name, "traffic.pcap"), fill); err != nil {
			fmt.Fprintln(os.Stderr, "traffic:", err)
			os.Exit(1)
		}
	}
}

func write(path string, fill func(*trace)) error {
	t := newTrace()
	fill(t)
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := t.write(f); err != nil {
		f.Close()
		return fmt.Errorf("write %s: %w", path, err)
	}
	return f.Close()
}

func firewall(t *trace) {
	for i := range 5 {
		t.at(i*40).dns(laptop, resolver, names[i%len(names)])
		t.at(i*40+3).web(laptop, server, 600+i*700)
		t.at(i*70+8).web(laptop6, server6, 400+i*500)
	}
	t.at(0).arp(laptop, gateway)
	t.at(5).neighbour(laptop6, server6)
	for i := range 4 {
		t.at(i*60+11).ping(laptop, server)
		t.at(i*60+17).ping(laptop6, server6)
	}
	// A scan from a blocked network, and one host of a good network that is
	// blocked on its own.
	for i, port := range []uint16{21, 22, 25, 80, 110, 143, 443, 445, 1433, 3306, 3389, 5432, 5900, 6379, 8080, 9200} {
		t.at(i*17+20).knock(v4("203.0.113.45"), server, port)
		t.at(i*19+22).knock(v6("2001:db8:bad::45"), server6, port)
	}
	for i := range 6 {
		t.at(i*31+25).knock(v4("198.51.100.66"), server, 443)
		t.at(i*31+26).refused(v4("198.51.100.67"), server, 8443)
	}
	for i := range 5 {
		t.at(i*45+30).knock(v4("198.51.100.200"), server, 23)
		t.at(i*45+33).knock(v6("2001:db8:1::200"), server6, 23)
	}
	t.at(90).cut(v4("192.0.2.99"), server, 14+20+2) // ends within the ports
	t.at(95).cut(v4("192.0.2.99"), server, 14+9)    // ends within the IP header
}

func protocount(t *trace) {
	t.at(0).arp(laptop, gateway)
	for i := range 6 {
		t.at(i*30).dns(laptop, resolver, names[i%len(names)])
		t.at(i*30+3).web(laptop, server, 500+i*900)
		t.at(i*50+8).web(laptop6, server6, 300+i*400)
		t.at(i*25+5).ping(laptop, server)
		t.at(i*35+6).ping(laptop6, server6)
		t.at(i*22+9).tunnel(gateway, v4("203.0.113.1"), laptop, server)
		t.at(i*28+4).sctp(v4("192.0.2.30"), v4("198.51.100.30"))
	}
	t.at(12).neighbour(laptop6, server6)
	t.at(15).lldp(gateway)
}

func flows(t *trace) {
	for i := range 5 {
		t.at(i*40).dns(laptop, resolver, names[i%len(names)])
		t.at(i*40+3).web(laptop, server, 800+i*1100)
		// The same addresses in two VLANs are two flows.
		t.at(i*33+7).vlan(10).web(laptop, server, 200+i*300)
		t.at(i*33+9).vlan(20).web(laptop, server, 200+i*100)
		t.at(i*44+5).vlan(20).dns(laptop6, resolver6, names[i%len(names)])
		t.at(i*52+6).vlan(100, 30).web(laptop6, server6, 900)
		t.at(i*21+4).vlan(100, 30).ping(laptop, server)
	}
	t.at(2).arp(laptop, gateway)
	t.at(3).vlan(10).arp(laptop, gateway)
}

func tailparse(t *trace) {
	for i := range 5 {
		t.at(i*40).dns(laptop, resolver, names[i%len(names)])
		t.at(i*40+2).dns(laptop6, resolver6, names[i%len(names)])
		t.at(i*40+3).web(laptop, server, 500+i*600)
		t.at(i*55+8).web(laptop6, server6, 500+i*300)
		t.at(i*25+5).ping(laptop, server)
		t.at(i*18+6).knock(v4("203.0.113.45"), server, uint16(8000+i))
	}
	t.at(1).arp(laptop, gateway)
	t.at(14).neighbour(laptop6, server6)
	t.at(15).lldp(gateway)
	t.at(60).cut(v4("192.0.2.99"), server, 14+20+6)
}

func redirect(t *trace) {
	for i := range 6 {
		t.at(i*40).dns(v4("192.0.2.10"), resolver, names[i%len(names)])
		t.at(i*40+3).web(v4(fmt.Sprintf("192.0.2.%d", 20+i)), server, 500+i*400)
		t.at(i*55+8).web(v6(fmt.Sprintf("2001:db8:1::%d", 20+i)), server6, 500+i*300)
		t.at(i*25+5).ping(v4("192.0.2.12"), server)
		t.at(i*25+7).ping(v6("2001:db8:1::11"), server6)
		t.at(i*33+7).vlan(10).web(v4("192.0.2.13"), server, 200+i*300)
	}
	t.at(1).arp(laptop, gateway)
	t.at(14).neighbour(laptop6, server6)
	t.at(15).lldp(gateway)
}
