# What the scripts of this folder share. Sourced, never run.

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Installs those of the named apt packages that are missing. Nothing is asked of apt when all are there.
install_packages() {
    local package missing=()
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "install ok installed" || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    echo "Installing: ${missing[*]}"
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || {
            echo "Missing apt packages: ${missing[*]}. Install them as root, then run this script again." >&2
            return 1
        }
        as_root=(sudo)
    fi
    "${as_root[@]}" apt-get update -qq &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

# What `swift build` links against, beside the toolchain.
build_packages=(liblz4-dev libzstd-dev libsnappy-dev zlib1g-dev libyaml-dev libssl-dev libcurl4-openssl-dev libnghttp2-dev)

require_swift() {
    command -v swift >/dev/null || {
        echo "No 'swift' on PATH. Install Swift 6.3 or newer: https://www.swift.org/install/linux/" >&2
        return 1
    }
}

# A Python environment under .venv with the clients under test; filled anew when their list changes.
python_environment() {
    local venv=$repository/.venv/clients list=$repository/Tests/Clients/requirements.txt
    if ! cmp -s "$venv/installed" "$list"; then
        python3 -m venv "$venv" || return 1
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade -r "$list" || return 1
        cp "$list" "$venv/installed"
    fi
    "$venv/bin/python" -m pip list --disable-pip-version-check 2>/dev/null | grep -iE 'kafka|pytest' || true
}

# Builds the release binary, unless the script's arguments name another: build_release "$@". It is the subshell that changes to
# the repository: files that arguments name are relative to where the script was started.
build_release() {
    case " $* " in *" --binary "* | *" --binary="*) return 0 ;; esac
    require_swift || return 1
    (cd "$repository" && swift build -c release --product millrace)
}

# Runs the long program Tests/Clients/trials/NAME: run_trial NAME [ARGUMENTS ...]. Installs what it needs, with the apt packages
# in the array `trial_packages`, and builds the release binary unless --binary names one or --broker another broker. For --help
# and --list nothing is installed or built.
run_trial() {
    local name=$1 python=$repository/.venv/clients/bin/python; shift
    case " $* " in
        *" --list "* | *" --help "* | *" -h "*) python=python3 ;;
        *)
            install_packages "${build_packages[@]}" python3-venv gcc libc6-dev ${trial_packages[@]+"${trial_packages[@]}"}
            case " $* " in *" --broker kafka "* | *" --broker=kafka "*) ;; *) build_release "$@" ;; esac
            python_environment >/dev/null
            ;;
    esac
    # Safe path: a folder called `trials` or `harness` where the script was started is none of ours.
    PYTHONSAFEPATH=1 PYTHONPATH=$repository/Tests/Clients exec "$python" -m "trials.$name" "$@"
}
