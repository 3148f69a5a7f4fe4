#!/usr/bin/env bash
# Makes the certificates of the tests anew, valid from 2020 to 2120. None of them guards anything; the keys are public.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/config" <<END
[ca]
default_ca = one
[one]
database = $work/database
new_certs_dir = $work
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
organizationName = optional
commonName = supplied
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = keyCertSign
END
touch "$work/database"

sign() { # ARGUMENT… of openssl ca
    openssl ca -batch -config "$work/config" -notext -startdate 20200101000000Z -enddate "${end:-21200101000000Z}" "$@" 2>"$work/log"
}
key() { # FILE BITS
    openssl genrsa -out "$1" "$2" 2>"$work/log"
}
authority() { # NAME
    key "$work/$1.key" 2048
    openssl req -new -key "$work/$1.key" -subj "/CN=fountain test $1" -out "$work/request"
    sign -selfsign -keyfile "$work/$1.key" -in "$work/request" -out "$1.pem" -extensions authority
}
signed() { # AUTHORITY KEY FILE SUBJECT [EXTENSION…]; without extensions it is an X.509 v1 certificate
    local authority=$1 key=$2 file=$3 subject=$4 options=()
    shift 4
    openssl req -new -key "$key" -subj "$subject" -out "$work/request"
    if (($# > 0)); then
        printf '%s\n' "$@" >"$work/extensions"
        options=(-extfile "$work/extensions")
    fi
    sign -cert "$authority.pem" -keyfile "$work/$authority.key" -in "$work/request" -out "$file" "${options[@]}"
}

authority ca
authority other-ca
cat other-ca.pem ca.pem >both-cas.pem
names=subjectAltName=DNS:localhost,DNS:*.example.org,IP:127.0.0.1,IP:::1

key server-key.pem 2048
openssl rsa -in server-key.pem -traditional -out server-key-pkcs1.pem 2>"$work/log"
signed ca server-key.pem server.pem /CN=localhost "$names"
signed ca server-key.pem server-other-name.pem /CN=localhost subjectAltName=DNS:db1.example.org,IP:192.0.2.7
signed ca server-key.pem server-without-names.pem /CN=localhost basicConstraints=CA:FALSE
signed ca server-key.pem server-v1.pem /CN=localhost
end=20210101000000Z signed ca server-key.pem server-expired.pem /CN=localhost "$names"
key server-1024-key.pem 1024
signed ca server-1024-key.pem server-1024.pem /CN=localhost "$names"

key client-key.pem 2048
openssl rsa -in client-key.pem -traditional -out client-key-pkcs1.pem 2>"$work/log"
openssl pkcs8 -topk8 -in client-key.pem -passout pass:secret -out client-key-encrypted.pem
openssl rsa -in client-key.pem -traditional -aes128 -passout pass:secret -out client-key-encrypted-pkcs1.pem 2>"$work/log"
signed ca client-key.pem client.pem /O=fountain/CN=replica basicConstraints=CA:FALSE
signed other-ca client-key.pem client-of-other-ca.pem /O=fountain/CN=replica basicConstraints=CA:FALSE
openssl ecparam -name prime256v1 -genkey -noout -out client-ec-key.pem
signed ca client-ec-key.pem client-ec.pem /O=fountain/CN=replica basicConstraints=CA:FALSE
openssl x509 -in client.pem -outform der -out client.der
