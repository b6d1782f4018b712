// node draw.js PROMETHEUS DASHBOARD PICTURE END: asks each query of a dashboard as of END, and takes a picture.
const { chromium } = require('playwright-core');
const esbuild = require('esbuild');
const fs = require('fs');

const [url, file, picture, end] = process.argv.slice(2);
const STEP = 600;
const TO = Number(end) - 1;

const values = { $__rate_interval: '40m', $__interval: '10m', $__range: '24h', $cluster: '.*', $node: 'gpu-00008' };
const filled = (query) => Object.entries(values).reduce((text, [key, value]) => text.replaceAll(key, value), query);

const SECONDS = { h: 3600, d: 86400 };
const seconds = (text) => Number(text.slice(0, -1)) * SECONDS[text.at(-1)];

// A panel with an interval of its own shows a week.
async function ask(target, panel, range) {
  const query = new URLSearchParams({ query: filled(target.expr) });
  const step = panel.interval ? seconds(panel.interval) : STEP;
  const begin = TO - (panel.interval === '1d' ? 7 * 86400 : range);
  if (!target.instant) { query.set('start', begin); query.set('end', TO); query.set('step', step); } else query.set('time', TO);
  const answer = await (await fetch(`${url}/api/v1/${target.instant ? 'query' : 'query_range'}?${query}`)).json();
  if (answer.status !== 'success') throw new Error(`${target.expr}: ${answer.error}`);
  return { refId: target.refId, legend: target.legendFormat, answers: answer.data.result };
}

async function main() {
  const dashboard = JSON.parse(fs.readFileSync(file));
  const range = seconds(dashboard.time.from.slice('now-'.length));
  const asked = {};
  for (const panel of dashboard.panels) {
    if (panel.targets) asked[panel.id] = await Promise.all(panel.targets.map((target) => ask(target, panel, range)));
  }
  const built = await esbuild.build({
    entryPoints: [`${__dirname}/panels.jsx`], bundle: true, write: false, format: 'iife', jsx: 'automatic', minify: true,
    define: { 'process.env.NODE_ENV': '"production"', global: 'window' }, loader: { '.svg': 'dataurl', '.woff2': 'dataurl', '.css': 'css', '.ttf': 'empty', '.woff': 'empty', '.png': 'dataurl' }, logLevel: 'error',
    outdir: '/out',
    plugins: [{ name: 'cjs', setup(build) {
      // In the other form the default exports of some packages are objects.
      build.onResolve({ filter: /^@grafana\/(ui|data|schema)(\/unstable)?$/ }, ({ path }) => {
        const [, name, part] = path.split('/');
        return { path: `${__dirname}/node_modules/@grafana/${name}/dist/cjs/${part ?? 'index'}.cjs` };
      });
    } }],
  });
  const script = built.outputFiles.find((one) => one.path.endsWith('.js')).text;
  const styles = built.outputFiles.filter((one) => one.path.endsWith('.css')).map((one) => one.text).join('\n');
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
  const page = await browser.newPage({ viewport: { width: 1480, height: 900 } });
  await page.clock.setFixedTime(new Date(TO * 1000));
  page.on('pageerror', (error) => console.error('page:', error.message.slice(0, 600)));
  page.on('console', (line) => { if (line.type() === 'error') console.error('console:', line.text().slice(0, 400)); });
  // A page needs an address of its own, or it has no storage.
  const html = `<!doctype html><meta charset=utf-8><title>x</title><style>${styles}
    * { box-sizing: border-box; }
    body { margin: 16px; font: 14px Inter, Helvetica, Arial, sans-serif; background: #f4f5f5; color: #24292e; }
    h2 { position: absolute; margin: 0; font-size: 15px; line-height: 34px; }
    section { position: absolute; background: #fff; border: 1px solid #e0e1e3; border-radius: 2px; overflow: hidden; padding: 0 8px; box-sizing: border-box; }
    h3 { margin: 0; font-size: 14px; font-weight: 500; line-height: 30px; }
    .stats { display: flex; } .nothing { color: #6e7276; padding-top: 24px; text-align: center; }
    .timeline > div { display: flex; height: 20px; font-size: 11px; } .timeline span { width: 140px; text-align: right; padding-right: 8px; overflow: hidden; white-space: nowrap; }
    .timeline > div > div { position: relative; flex: 1; margin: 1px 0; } .timeline i { position: absolute; top: 0; bottom: 0; }
    .timeline b { position: absolute; left: 6px; font-weight: 500; color: #000; line-height: 18px; }
  </style><div id=page></div>`;
  await page.route('http://dashboard.test/', (route) => route.fulfill({ contentType: 'text/html', body: html }));
  await page.goto('http://dashboard.test/');
  await page.evaluate(([given, range, step]) => { window.given = given; window.range = range; window.step = step; }, [{ dashboard, asked }, [TO - range, TO], STEP]);
  await page.addScriptTag({ content: script });
  await page.waitForFunction('window.done');
  await page.waitForTimeout(1500);
  const title = await page.title();
  if (title.startsWith('failed')) throw new Error(title);
  await page.locator('#page').screenshot({ path: picture });
  await browser.close();
}

main().catch((error) => { console.error(error); process.exit(1); });
