// Open pages in a browser and say what happens: node look.mjs BROWSER FOLDER PAGE.html...
// For each page one object: messages, requests, dialogs, what is drawn, how it behaves; with FOLDER, pictures of it.
import { basename } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [browserPath, folder, ...files] = process.argv.slice(2);
// Chromium's own sandbox needs rights that containers lack; the pages are our own.
const browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox"] });

async function open(file, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const seen = { messages: [], requests: [], dialogs: 0 };
  page.on("console", (message) => seen.messages.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => seen.messages.push(`error: ${error}`));
  page.on("requestfailed", (request) => seen.messages.push(`failed: ${request.url().slice(0, 200)}`));
  page.on("request", (request) => seen.requests.push(request.url().slice(0, 200)));
  page.on("dialog", (dialog) => { seen.dialogs += 1; return dialog.dismiss(); });
  const start = performance.now();
  await page.goto(pathToFileURL(file).href, { waitUntil: "load" });
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  seen.seconds = (performance.now() - start) / 1000;
  if (folder) {
    const name = `${basename(file)}-${options.colorScheme}-${options.viewport.width}.png`;
    await page.screenshot({ path: `${folder}/${name}`, fullPage: true });
  }
  return { context, page, seen };
}

const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
const background = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor);

// Each picture that is meant to be seen, with the number of its marks and of those with no area at all.
const pictures = (page) => page.evaluate(() =>
  [...document.querySelectorAll("svg")].filter((svg) => svg.checkVisibility()).map((svg) => {
    const marks = [...svg.querySelectorAll("rect, path, polyline, circle")];
    const broken = marks.filter((mark) => /NaN|inf|undefined/.test(mark.outerHTML));
    const box = svg.getBoundingClientRect();
    return { label: svg.getAttribute("aria-label"), marks: marks.length, broken: broken.length, width: box.width };
  }));

async function listing(page) {
  const found = page.locator(".listing").first();
  if ((await found.count()) === 0) return null;
  const rows = () => found.locator("tbody tr").count();
  const where = () => found.locator(".where").textContent();
  const result = { rows: await rows(), where: await where() };
  const next = found.locator("button.on");
  if (await next.isEnabled()) { await next.click(); result.next = await where(); }
  const start = performance.now();
  await found.locator("input").fill("no such rewrite");
  result.nothing = await where();
  await found.locator("input").fill("");
  result.again = await where();
  result.seconds = (performance.now() - start) / 1000;
  await found.locator("select.rule").selectOption("0");
  result.rules = await found.locator("tbody td:nth-child(2)").evaluateAll((cells) => [...new Set(cells.map((c) => c.textContent))]);
  await found.locator("select.rule").selectOption("-1");
  const graph = found.locator("td button").last();
  if (await graph.count()) {
    result.clicked = await found.locator("tbody tr", { has: page.locator("button") }).last().locator("td").first().textContent();
    await graph.click();
    const viewer = page.locator(".viewer").first();
    result.shown = await viewer.locator(".drawn:visible").count();
    result.chosen = await viewer.locator("select").evaluate((select) => select.selectedOptions[0].textContent);
    result.drawn = await viewer.locator(".drawn:visible").getAttribute("data-index");
    result.index = await viewer.locator("select").inputValue();
  }
  return result;
}

async function keyboard(page) {
  const tab = page.locator("[role=tab][aria-selected=true]").first();
  if ((await tab.count()) === 0) return null;
  await tab.focus();
  const before = await page.evaluate(() => document.activeElement.textContent);
  await page.keyboard.press("ArrowRight");
  const after = await page.evaluate(() => [document.activeElement.textContent, document.activeElement.getAttribute("aria-selected")]);
  return { before, after };
}

async function look(file) {
  const desk = await open(file, { colorScheme: "light", viewport: { width: 1200, height: 900 } });
  const result = { ...desk.seen, overflow: await overflow(desk.page), pictures: await pictures(desk.page) };
  result.light = await background(desk.page);
  await desk.page.locator("#theme").click();
  result.toggled = await background(desk.page);
  result.keyboard = await keyboard(desk.page);
  result.listing = await listing(desk.page);
  // Not by hover: marks may lie on each other, as the cells of a treemap do on their group.
  await desk.page.locator("[data-tip]:visible").first().dispatchEvent("pointermove", { clientX: 9, clientY: 9, bubbles: true });
  result.tip = await desk.page.locator("#tip").textContent();
  await desk.page.emulateMedia({ media: "print" });
  result.print = await background(desk.page);
  const dark = await open(file, { colorScheme: "dark", viewport: { width: 1200, height: 900 } });
  result.dark = await background(dark.page);
  const phone = await open(file, { colorScheme: "light", viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true });
  result.phone = { overflow: await overflow(phone.page), pictures: await pictures(phone.page) };
  result.executed = await desk.page.evaluate(() => [typeof window.executed, document.images.length]);
  for (const each of [desk, dark, phone]) {
    await each.context.close();
    if (each !== desk) result.messages.push(...each.seen.messages);
    if (each !== desk) result.dialogs += each.seen.dialogs;
    // The least of three: a busy machine slows a page down, nothing makes it faster than it is.
    result.seconds = Math.min(result.seconds, each.seen.seconds);
  }
  return result;
}

const found = [];
for (const file of files) found.push(await look(file));
await browser.close();
process.stdout.write(JSON.stringify(found));
