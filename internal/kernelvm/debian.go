package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// suite is a Debian release, and which Linux it has.
type suite struct {
	version, name string
	// cpu are features to take from QEMU's processor. QEMU 7.2 kills busy guests
	// that use cmpxchg16b; without it Linux 7 finds no memory in programs.
	cpu string
}

// suites are those that kernels come from. The last one moves on: what it has is
// at least this.
var suites = []suite{
	{"5.10", "bullseye", ",cx16=off"},
	{"6.1", "bookworm", ",cx16=off"},
	{"6.12", "trixie", ",cx16=off"},
	{"7.2", "sid", ""},
}

func versions() []string {
	var all []string
	for _, s := range suites {
		all = append(all, s.version)
	}
	return all
}

// kernel is an unpacked one: dir holds vmlinuz, config, busybox, and in modules
// those that guests load, named in the order of loading.
type kernel struct {
	dir     string
	release string // as uname -r gives it
	cpu     string // see suite
}

// fetch gives the kernel of a version, from the cache or from Debian.
func fetch(version string) (*kernel, error) {
	i := slices.IndexFunc(suites, func(s suite) bool { return s.version == version })
	if i < 0 {
		return nil, fmt.Errorf("there is no kernel %s; choose from %s", version, strings.Join(versions(), ", "))
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	k := &kernel{dir: filepath.Join(cache, "skep-vm", "linux-"+version), cpu: suites[i].cpu}
	if k.release, err = k.read(); errors.Is(err, os.ErrNotExist) {
		if err = download(k.dir, suites[i].name); err == nil {
			k.release, err = k.read()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("get Linux %s from Debian %s: %w", version, suites[i].name, err)
	}
	if !strings.HasPrefix(k.release, version+".") {
		fmt.Fprintf(os.Stderr, "kernelvm: Debian %s has Linux %s by now, not %s\n", suites[i].name, k.release, version)
	}
	return k, nil
}

// read gives the release of the kernel in the cache, if it has the modules that
// are wanted today.
func (k *kernel) read() (release string, err error) {
	have, err := os.ReadFile(filepath.Join(k.dir, "wanted"))
	if err != nil {
		return "", err
	}
	if string(have) != wantedModules {
		return "", os.ErrNotExist
	}
	text, err := os.ReadFile(filepath.Join(k.dir, "release"))
	return string(text), err
}

// download makes dir from the newest cloud kernel of a suite.
func download(dir, suite string) (err error) {
	if runtime.GOARCH != "amd64" {
		return errors.New("guests are amd64 only, as the binaries must be")
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "download")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	apt, err := newApt(filepath.Join(tmp, "apt"), suite)
	if err != nil {
		return err
	}
	debs, err := apt.download("linux-image-cloud-amd64", "busybox-static")
	if err != nil {
		return err
	}
	made := filepath.Join(tmp, "kernel")
	for _, deb := range debs {
		if err := unpack(deb, made); err != nil {
			return fmt.Errorf("unpack %s: %w", filepath.Base(deb), err)
		}
	}
	if err := chooseModules(made); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(made, "wanted"), []byte(wantedModules), 0o644); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(made, dir)
}

// apt is apt-get for another suite than the system's, with state of its own.
type apt struct {
	dir     string
	options []string
}

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

func newApt(dir, suite string) (*apt, error) {
	mirror, err := findMirror()
	if err != nil {
		return nil, err
	}
	for _, sub := range []string{"state/lists/partial", "cache/archives/partial", "debs"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	sources := fmt.Sprintf("deb [signed-by=%s] %s %s main\n", keyring, mirror, suite)
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, "sources.list"), []byte(sources), 0o644),
		os.WriteFile(filepath.Join(dir, "status"), nil, 0o644), // nothing is installed
	)
	if err != nil {
		return nil, err
	}
	a := &apt{dir: dir}
	for _, option := range []string{
		"Dir::Etc::SourceList=" + filepath.Join(dir, "sources.list"),
		"Dir::Etc::SourceParts=/dev/null",
		"Dir::Etc::Preferences=/dev/null",
		"Dir::Etc::PreferencesParts=/dev/null",
		"Dir::State=" + filepath.Join(dir, "state"),
		"Dir::State::status=" + filepath.Join(dir, "status"),
		"Dir::Cache=" + filepath.Join(dir, "cache"),
		"APT::Architecture=amd64",
		"APT::Architectures=amd64",
		"APT::Sandbox::User=root",
		"Acquire::Languages=none",
		"Acquire::Retries=2",
		"Acquire::http::Timeout=20",
		"Acquire::https::Timeout=20",
		"Acquire::Check-Valid-Until=false", // old releases are not signed anew
	} {
		a.options = append(a.options, "-o", option)
	}
	_, err = a.run("apt-get", "-qq", "update")
	return a, err
}

// findMirror gives the Debian mirror in the system's sources.
func findMirror() (string, error) {
	out, err := output(exec.Command("apt-get", "indextargets", "--format", "$(REPO_URI)"))
	if err != nil {
		return "", err
	}
	for _, uri := range strings.Fields(out) {
		if path.Base(uri) == "debian" {
			return uri, nil
		}
	}
	return "", errors.New("this machine's apt has no Debian mirror")
}

func (a *apt) run(name string, args ...string) (string, error) {
	cmd := exec.Command(name, append(a.options[:len(a.options):len(a.options)], args...)...)
	cmd.Dir = filepath.Join(a.dir, "debs")
	return output(cmd)
}

// output runs a command, whose complaints become the error.
func output(cmd *exec.Cmd) (string, error) {
	out, err := cmd.Output()
	if failed := new(exec.ExitError); errors.As(err, &failed) {
		err = fmt.Errorf("%s: %w: %s", cmd.Args[0], err, strings.TrimSpace(string(failed.Stderr)))
	}
	return string(out), err
}

// Packages that a kernel is made of: image until Linux 7, then also binary,
// modules and base.
var kernelPart = regexp.MustCompile(`Depends: (linux-(?:image|binary|modules|base-)\S*)`)

// download gives the files of packages; those of a kernel come with their parts.
func (a *apt) download(packages ...string) ([]string, error) {
	for i := 0; i < len(packages); i++ {
		out, err := a.run("apt-cache", "depends", packages[i])
		if err != nil {
			return nil, err
		}
		for _, part := range kernelPart.FindAllStringSubmatch(out, -1) {
			if !slices.Contains(packages, part[1]) {
				packages = append(packages, part[1])
			}
		}
	}
	if _, err := a.run("apt-get", append([]string{"-qq", "download"}, packages...)...); err != nil {
		return nil, err
	}
	return filepath.Glob(filepath.Join(a.dir, "debs", "*.deb"))
}

// unpack takes what a guest needs out of a package.
func unpack(deb, dir string) error {
	cmd := exec.Command("dpkg-deb", "--fsys-tarfile", deb)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	files := tar.NewReader(pipe)
	for {
		file, err := files.Next()
		if err == io.EOF {
			break
		}
		if err == nil && file.Typeflag == tar.TypeReg {
			err = unpackFile(file.Name, files, dir)
		}
		if err != nil {
			return errors.Join(err, cmd.Process.Kill(), cmd.Wait())
		}
	}
	return cmd.Wait()
}

func unpackFile(name string, content io.Reader, dir string) error {
	base := path.Base(name)
	switch where := path.Dir(name); {
	case strings.HasPrefix(base, "vmlinuz"):
		name = "vmlinuz"
	case strings.HasPrefix(base, "config-"), base == "config" && path.Base(path.Dir(where)) == "modules":
		name = "config"
	case strings.HasSuffix(name, "/bin/busybox"):
		name = "busybox"
	case base == "modules.order":
		if err := writeFile(filepath.Join(dir, "release"), strings.NewReader(path.Base(where))); err != nil {
			return err
		}
		return nil
	case isModule(base):
		name = path.Join("all-modules", base)
	default:
		return nil
	}
	return writeFile(filepath.Join(dir, name), content)
}

func writeFile(name string, content io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}
