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
build_packages=(liblz4-dev libzstd-dev libsnappy-dev zlib1g-dev libyaml-dev libssl-dev)

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
        "$venv/bin/pip" install --quiet --disable-pip-version-check --upgrade -r "$list" || return 1
        cp "$list" "$venv/installed"
    fi
    "$venv/bin/pip" list --disable-pip-version-check 2>/dev/null | grep -iE 'kafka|pytest' || true
}

# Runs the long program Tests/Clients/trials/NAME: run_trial NAME [ARGUMENTS ...]. Installs what it needs, with the apt packages
# in the array `trial_packages`, and builds the release binary unless --binary names one. For --help and --list alone nothing
# of that is done.
run_trial() {
    local name=$1; shift
    cd "$repository"
    case " $* " in
        *" --list "* | *" --help "* | *" -h "*) ;;
        *)
            require_swift
            install_packages "${build_packages[@]}" python3-venv gcc libc6-dev ${trial_packages[@]+"${trial_packages[@]}"}
            case " $* " in *" --binary "* | *" --binary="*) ;; *) swift build -c release --product millrace ;; esac
            ;;
    esac
    python_environment >/dev/null
    PYTHONPATH=Tests/Clients exec .venv/clients/bin/python -m "trials.$name" "$@"
}
