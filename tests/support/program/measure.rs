//! What the tests' program measures of the network.
//!
//! `echo:PORT` sends back what comes. `ping:HOST:PORT=CLIENTS,SECONDS,BYTES` sends and waits for the same, `dns:NAME=CLIENTS,SECONDS`
//! asks the first name server of the pod; both show `ROUNDS-A-SECOND P50 P99`, the latter two in microseconds.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

pub fn run(verb: &str, rest: &str) -> Option<Result<()>> {
    Some(match verb {
        "echo" => echo(rest),
        "ping" => ping(rest),
        "dns" => dns(rest),
        _ => return None,
    })
}

fn echo(port: &str) -> Result<()> {
    for stream in TcpListener::bind(format!("0.0.0.0:{port}"))?.incoming() {
        let mut stream = stream?;
        std::thread::spawn(move || {
            stream.set_nodelay(true)?;
            let mut buffer = vec![0; 65536];
            loop {
                match stream.read(&mut buffer)? {
                    0 => return Result::Ok(()),
                    count => stream.write_all(&buffer[..count])?,
                }
            }
        });
    }
    Ok(())
}

fn numbers(text: &str) -> Vec<u64> {
    text.split(',').filter_map(|n| n.parse().ok()).collect()
}

fn ping(rest: &str) -> Result<()> {
    let (to, how) = rest.split_once('=').ok_or(ErrorKind::InvalidInput)?;
    let [clients, seconds, size] = numbers(how)[..] else { return Err(ErrorKind::InvalidInput.into()) };
    measure(clients, seconds, || {
        let mut stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        let mut bytes = vec![7; size as usize];
        Ok(move || {
            stream.write_all(&bytes)?;
            stream.read_exact(&mut bytes)
        })
    })
}

fn dns(rest: &str) -> Result<()> {
    let (name, how) = rest.split_once('=').ok_or(ErrorKind::InvalidInput)?;
    let [clients, seconds] = numbers(how)[..] else { return Err(ErrorKind::InvalidInput.into()) };
    let conf = std::fs::read_to_string("/etc/resolv.conf")?;
    let server = conf.lines().find_map(|l| l.strip_prefix("nameserver ")).ok_or(ErrorKind::NotFound)?.trim();
    // RFC 1035, 4.1: one question for an A record, recursion desired.
    let mut question = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        question.push(label.len() as u8);
        question.extend(label.as_bytes());
    }
    question.extend([0, 0, 1, 0, 1]);
    measure(clients, seconds, || {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect((server, 53))?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        let (mut question, mut answer, mut number) = (question.clone(), [0; 1500], 0u16);
        Ok(move || {
            number = number.wrapping_add(1);
            question[..2].copy_from_slice(&number.to_be_bytes());
            socket.send(&question)?;
            let count = socket.recv(&mut answer)?;
            let answers = u16::from_be_bytes([answer[6], answer[7]]);
            if count < 12 || answer[..2] != question[..2] || answers == 0 {
                return Err(Error::other("no answer to the question"));
            }
            Ok(())
        })
    })
}

/// Runs rounds on so many threads for so long; the first tenth of the time does not count.
fn measure<R: FnMut() -> Result<()> + Send>(clients: u64, seconds: u64, client: impl Fn() -> Result<R> + Sync) -> Result<()> {
    let begun = Instant::now();
    let (warm, end) = (Duration::from_millis(seconds * 100), Duration::from_millis(seconds * 1100));
    let one = || -> Result<Vec<Duration>> {
        let mut round = client()?;
        let mut times = Vec::new();
        while begun.elapsed() < end {
            let from = Instant::now();
            round()?;
            if begun.elapsed() > warm {
                times.push(from.elapsed());
            }
        }
        Ok(times)
    };
    let all = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|t| t.join().unwrap_or_else(|_| Err(Error::other("a client failed")))).collect::<Result<Vec<_>>>()
    });
    let mut times: Vec<Duration> = all?.into_iter().flatten().collect();
    times.sort();
    let share = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default().as_secs_f64() * 1e6;
    println!("{} {:.1} {:.1}", times.len() as f64 / seconds as f64, share(50), share(99));
    Ok(())
}
